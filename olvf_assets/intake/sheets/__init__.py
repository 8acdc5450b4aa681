"""Sheets of subjects, readers and conditions: files, words and problems."""
