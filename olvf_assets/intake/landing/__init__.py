"""What lies in a landing folder, who handed it over, whether it has settled, and how its files are read apart."""
