"""The floor under all rooms: errors, seeds, settings, words, what a table is and when it is made again."""
