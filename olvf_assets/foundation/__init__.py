"""The floor under all rooms: errors, seeds, settings base, lake, partitions, views. Knows no vertebra."""
