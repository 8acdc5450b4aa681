"""What `benchmarks/faults.py` needs: a disk that fails on demand, a study that is run, killed and compared."""
