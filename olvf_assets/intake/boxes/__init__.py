"""Drawn boxes, in the formats and class lists of labelling programs."""
