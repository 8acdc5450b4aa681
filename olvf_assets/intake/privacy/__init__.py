"""Pseudonyms and what hides or finds identifiers: in headers, in names of files, by the key."""
