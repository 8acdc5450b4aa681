"""Drafts of boxes: the detector's proposals as files that labelling programs open, and what became of them."""
