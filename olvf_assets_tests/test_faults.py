"""A sample of `benchmarks/faults.py`: runs killed and disks failing on purpose, and what is left of it afterwards.

Real tables, from drawn films to consensus, in a small study. Here the faults strike what Python writes, which needs no
compiler; that Rust's writers of tables meet a full disk is shown by a limit that the kernel keeps.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from olvf_assets.storage.artifacts import remove_partials

if TYPE_CHECKING:
    from fault_tools.kinds import Kind
    from fault_tools.trials import Ground

PROJECT = Path(__file__).parents[1]
PROFILE = """
extends: ci
phantom:
  institutions:
    institution_1: {patients_normal: 1, patients_fresh: 1, patients_old: 1, reread_patients: 1, excluded_fresh: {}}
    institution_2: {patients_fresh: 1, patients_old: 0}
"""
LAST = "films"
MOMENTS = ["landing_manifest", "film_pixels", LAST]
WRITES: list[tuple[str, "Kind"]] = [
    ("film_pixels", "kill"),
    ("landing_manifest", "enospc"),
    ("film_pixels", "enospc"),
    ("film_pixels", "eio"),
]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Ground"]:
    """A small study, finished, and a copy of it whose runs can be struck."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "benchmarks"))
        from fault_tools.disk import AuditedDisk
        from fault_tools.nursery import Nursery
        from fault_tools.study import Study
        from fault_tools.trials import Ground
        from faults import in_order

        folder = tmp_path_factory.mktemp("faults")
        (folder / "small.yaml").write_text(PROFILE)
        study = Study(folder / "struck", str(folder / "small"))
        disk = AuditedDisk(study.data, folder)
        nursery = Nursery(disk.environment(study.environment))
        undisturbed = nursery.run(",".join(in_order(LAST)))
        assert undisturbed.status == 0, undisturbed.output[-3000:]
        reference = study.copy_to(folder / "reference")
        yield Ground(reference, study, nursery, disk, seed=3)
        nursery.close()


@pytest.mark.parametrize("name", MOMENTS)
def test_a_run_killed_at_any_moment_ends_with_the_same_rows_when_started_again(ground: "Ground", name: str) -> None:
    trial = ground.strike(name, "moment")
    assert trial.struck, trial
    assert trial.wrong == []


@pytest.mark.parametrize(("name", "kind"), WRITES)
def test_a_fault_at_a_write_is_named_and_costs_nothing(ground: "Ground", name: str, kind: "Kind") -> None:
    trial = ground.strike(name, kind)
    assert trial.struck, trial
    assert trial.wrong == []


@pytest.mark.parametrize("kind", ["two_runs", "kill_then_next"])
def test_two_commands_in_one_folder_end_well(ground: "Ground", kind: "Kind") -> None:
    trial = ground.strike(LAST, kind)
    assert trial.struck, trial
    assert trial.wrong == []


def test_the_files_are_those_of_the_undisturbed_run(ground: "Ground") -> None:
    """After all the trials above. What killed writers leave bears names that tell it from whole files."""
    remove_partials(ground.study.data)
    struck, undisturbed = (
        [path for path in study.files() if not path.startswith((".runs/", "logs/"))]  # named by their runs
        for study in (ground.study, ground.reference)
    )
    assert struck == undisturbed
    assert ground.study.unlike(ground.reference, ground.reference.files()) == []


STORE = """
import resource, sys
from dagster import DagsterInstance, asset, materialize
import polars as pl
from olvf_assets.storage.lake import Lake

@asset(io_manager_key="lake")
def numbers(context) -> pl.DataFrame:
    rows = int(context.run.tags["rows"])
    return pl.DataFrame({"n": range(rows), "text": [str(hash((1, each))) for each in range(rows)]})

def store(rows, limit_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
    resources = {"lake": Lake(base_dir=sys.argv[1])}
    with DagsterInstance.ephemeral() as instance:
        materialize([numbers], resources=resources, instance=instance, tags={"rows": str(rows)}, raise_on_error=False)
    frame = pl.read_delta(sys.argv[1] + "/numbers.delta")
    print(frame.height, frame["n"].n_unique())

store(10, 10_000)
store(50_000, 10_000)
store(50_000, 100_000_000)
"""


def test_a_table_that_finds_no_room_says_so_and_its_old_rows_stay(tmp_path: Path) -> None:
    """The kernel's limit on a file's size reaches Rust's writers as a full disk does."""
    command = [sys.executable, "-c", STORE, str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["10 10", "10 10", "50000 50000", ""]
    (named,) = {line for line in done.stderr.splitlines() if "WriteFaultError: " in line}
    assert str(tmp_path / "numbers.delta") in named
    assert "File too large" in named
