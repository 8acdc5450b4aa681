"""Programs that tests run beside each other on one lake: what they do, one function each.

What lives here: functions that are called in processes of their own, by name. What does not: what must come of it.
"""

import sys
from pathlib import Path
from threading import Event

import polars as pl

from olvf_assets.storage.artifacts import ArtifactStore

ROWS = 200


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write_partition(address: str, writer: str, number: int) -> None:
    """Store one round of one partition through the lake's own IO manager, in a run of its own."""
    from dagster import DagsterInstance, StaticPartitionsDefinition, asset, materialize

    from olvf_assets.orchestration.resources import LakeResource

    @asset(
        partitions_def=StaticPartitionsDefinition([writer]),
        metadata={"partition_by": "writer", "delta_write_options": {"schema_mode": "merge"}},
        io_manager_key="lake",
    )
    def crowded() -> pl.DataFrame:
        return pl.DataFrame({"row": range(ROWS)}).with_columns(writer=pl.lit(writer), round=pl.lit(number, pl.Int64))

    with DagsterInstance.ephemeral() as instance:
        resources = {"lake": LakeResource(base_dir=f"{address}/tables")}
        materialize([crowded], partition_key=writer, resources=resources, instance=instance)


def write_rounds(address: str, writer: str, rounds: str, first: str) -> None:
    """Write a partition again and again, once `first` is there; say so before."""
    _say("ready")
    pause = Event()
    while not Path(first).exists():
        pause.wait(0.02)
    for number in range(1, int(rounds) + 1):
        write_partition(address, writer, number)
    _say("written")


def save_picture(number: int, store: ArtifactStore) -> str:
    """Save a picture that begins with a number, and return its path."""
    import numpy as np

    pixels = np.zeros((4, 4), np.uint8)
    pixels[0, 0] = number
    return store.save_image(pixels)[0]


def write_all_kinds(address: str, cache: str, n: str) -> None:
    """Write pictures, states and a table, and read each back; say after each round that it is whole."""
    import numpy as np

    from olvf_assets.storage.cached_store import CachedStore

    store = CachedStore(address, Path(cache))
    for number in range(int(n)):
        pixels = np.full((64, 64), number % 256, np.uint8)
        pixels[0, 0], pixels[0, 1] = number // 256, 7
        path, _ = store.save_image(pixels)
        store.write_text("work/classifiers/0123456789abcdef/state.pt", f"epoch {number}")
        write_partition(address, "one", number)
        assert store.has_image(path)
        assert (store.load_image(path) == pixels).all()
        assert store.read("work/classifiers/0123456789abcdef/state.pt", Path.read_text) == f"epoch {number}"
        assert store.tables.read("crowded")["round"].unique().to_list() == [number]
        _say(f"round {number}")


def train(address: str, cache: str, epochs: str) -> None:
    """Train with a state that is kept after each epoch, as the trainings do; the result is the sum of all epochs."""
    from olvf_assets.storage.cached_store import CachedStore

    store = CachedStore(address, Path(cache))
    folder = store.work_folder("classifiers", {"epochs": epochs})
    done, result = store.read(folder / "state.pt", lambda path: tuple(map(int, path.read_text().split()))) or (0, 0)
    _say(f"from {done}")
    for epoch in range(done + 1, int(epochs) + 1):
        result += epoch
        store.write_text(folder / "state.pt", f"{epoch} {result}")
        _say(f"epoch {epoch}")
    store.write_text(folder / "weights", str(result))
    store.remove(folder / "state.pt")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
