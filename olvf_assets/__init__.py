"""OLVF: osteoporotic lumbar vertebral fractures on radiographs, as Dagster assets."""

import os

# Threads of torch's OpenMP sleep while they wait instead of spinning. With another process on the same two cores a
# training step of the detector was 14 times slower with spinning threads (0.64 against 8.8 films/s); alone, equal.
# Must be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
