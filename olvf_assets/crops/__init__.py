"""From a detected box to one equalised 166 x 140 crop. No learning."""
