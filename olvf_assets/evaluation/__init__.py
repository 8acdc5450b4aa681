"""Metrics, intervals, ROC, confusion. No pictures, no training."""
