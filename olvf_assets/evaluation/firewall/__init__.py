"""What a figure may rest on: lineage and fingerprints of samples, leakage between them, and stale results."""
