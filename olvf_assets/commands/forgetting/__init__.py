"""Erasing for good: a patient or an institution (`plan`, `erase`), and what no table reaches any more (`tidy`)."""
