"""Pixel data: whole or not, decoded, turned to 8-bit grey, and held against what else is there."""
