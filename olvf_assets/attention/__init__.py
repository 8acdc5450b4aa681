"""Grad-CAM, grid statistics. No metrics of classification."""
