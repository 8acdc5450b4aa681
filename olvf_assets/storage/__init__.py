"""Where bytes lie: the lake, pictures and long work, records and remembered facts, locks, and erasing any of it."""
