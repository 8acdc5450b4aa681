"""Films out of a hospital's image store (PACS): asked for, fetched, and laid into its landing folder."""
