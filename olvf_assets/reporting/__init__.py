"""Figures, the report page and the printed tables. Computes no result of its own."""
