"""Splits, replication, networks, training, predictions, ensemble. No metrics."""
