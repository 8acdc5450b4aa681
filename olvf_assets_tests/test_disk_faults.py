"""Every writer of this program meets a disk that fails at each of its calls in turn.

Whatever the call: the error is a fault of the machine that names the file and the way out, or the writer did its work
all the same; and on a sound disk the same writer then succeeds over what was left.
"""

import errno
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from olvf_assets.commands import hospitals
from olvf_assets.detection.ultralytics_home import prepare_ultralytics
from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.made import Ingredients, Record
from olvf_assets.intake.privacy.key_check import require_same_key
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser, make_key_file
from olvf_assets.orchestration.run_log import RunLog, RunLogError
from olvf_assets.reporting.warehouse import build_warehouse
from olvf_assets.storage import erasure
from olvf_assets.storage.artifacts import ArtifactStore, DamagedPictureError, remove_partials, write_folder
from olvf_assets.storage.crash import tidy_after_crash
from olvf_assets.storage.left_out import LeftOut, Stop
from olvf_assets.storage.records import Records
from olvf_assets.storage.remembered import RememberedFacts, Stamp
from olvf_assets.storage.run_lock import hold_data_folder, keep_run_lock, remove_dead_locks
from olvf_assets.storage.taken_in import forget_stored, record_stored
from olvf_assets_tests.disks import failing_disk

WAY_OUT = re.compile("start the same command again|give this user the right")
MOST_CALLS = 200  # of one writer, and more
STOP = Stop("institution_3", "external", "subjects", "a row is missing", "1")
RECORD = Record(Ingredients({}, {}, {}, {}), {}, {}, "", "", "")
PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)
NAMES = Pseudonymiser("city", b"a key of sixteen or more letters")


@dataclass
class Writer:
    """Something that this program writes below the data folder.

    Attributes:
        act: writes it.
        prepare: makes what must be there before, on a sound disk.
    """

    act: Callable[[Path], object]
    prepare: Callable[[Path], object] = lambda data: None


def hold(data: Path) -> None:
    with hold_data_folder(data, "a run", wait=False):
        pass


def leave_a_dead_lock(data: Path) -> None:
    (data / ".runs").mkdir(exist_ok=True)
    (data / ".runs" / "1.lock").touch()


def note_and_end_a_stop(data: Path) -> None:
    LeftOut(ArtifactStore(data / "lake")).note(STOP)
    LeftOut(ArtifactStore(data / "lake")).end(STOP.institution, STOP.table)


def keep_and_forget_a_record(data: Path) -> None:
    Records(ArtifactStore(data / "lake")).keep("films", "all", RECORD)
    Records(ArtifactStore(data / "lake")).forget("films", "all")


def note_arrivals(data: Path) -> None:
    record_stored(ArtifactStore(data / "lake"), "institution_3", "films", state="one", reads=())
    forget_stored(ArtifactStore(data / "lake"), "films")


def remember_facts(data: Path) -> None:
    RememberedFacts(ArtifactStore(data / "lake"), "facts.parquet", str).facts(
        [("a", Stamp(1, 0, 0, 1))], lambda paths: ["a fact"]
    )


def damage_a_picture(data: Path) -> None:
    store = ArtifactStore(data / "lake")
    relative, _ = store.save_image(PIXELS)
    store.path(relative).write_bytes(b"damaged")


def load_a_damaged_picture(data: Path) -> None:
    (picture,) = (data / "lake").rglob("*.png")
    with pytest.raises(DamagedPictureError):
        ArtifactStore(data / "lake").load_image(picture.relative_to(data / "lake").as_posix())


def leave_what_a_killed_run_leaves(data: Path) -> None:
    images, log = data / "lake" / "images", data / "lake" / "tables" / "films.delta" / "_delta_log"
    for folder in (images / ".partial-folder", log):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{0:020}.json").write_text("{")
    (images / ".partial-1.png").write_text("half")


def tidy(data: Path) -> None:
    tidy_after_crash(data, ArtifactStore(data / "lake"))
    assert not list((data / "lake" / "images").iterdir())
    assert not list((data / "lake" / "tables").iterdir())


def erase(data: Path) -> None:
    with erasure.data_folder_held(data):
        table = data / "lake" / "tables" / "films.delta"
        pl.DataFrame({"n": [1, 2]}).write_delta(str(table), mode="overwrite")
        erasure.replace(table, pl.DataFrame({"n": [2]}), [])
        erasure.remove(table)


def add_a_hospital(data: Path) -> None:
    hospitals.add_hospital("institution_3", data.parent / "from_hospital")


def hand_over_a_hospital(data: Path) -> None:
    source = data.parent / "from_hospital"
    source.mkdir(exist_ok=True)
    (source / "institution.toml").write_text('name = "Hospital 3"\nrole = "external"\n')
    erasure.remove(data / "landing" / "institution_3")  # a fault may have come after it


WRITERS = {
    "the data folder's lock": Writer(hold),
    "a run's lock": Writer(lambda data: keep_run_lock(data, "a run")),
    "a dead run's lock": Writer(remove_dead_locks, leave_a_dead_lock),
    "a stop": Writer(note_and_end_a_stop),
    "a made record": Writer(keep_and_forget_a_record),
    "an arrival": Writer(note_arrivals),
    "facts": Writer(remember_facts),
    "a picture": Writer(lambda data: ArtifactStore(data / "lake").save_image(PIXELS)),
    "a damaged picture": Writer(load_a_damaged_picture, damage_a_picture),
    "a work folder": Writer(lambda data: ArtifactStore(data / "lake").work_folder("kind", {"seed": 1})),
    "tidying": Writer(tidy, leave_what_a_killed_run_leaves),
    "erasing": Writer(erase),
    "a hospital": Writer(add_a_hospital, hand_over_a_hospital),
    "a pseudonym key": Writer(make_key_file),
    "the key's check value": Writer(lambda data: require_same_key(NAMES, ArtifactStore(data / "lake"))),
    "the warehouse": Writer(lambda data: build_warehouse({}, data / "olvf.duckdb")),
    "pages": Writer(lambda data: write_folder(data / "pages", {"a.html": "a", "b/c.html": "c"})),
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OLVF_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OLVF_PROFILE", "ci")
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY", raising=False)
    monkeypatch.setattr(hospitals, "register_institutions", list)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS.keys())
def test_a_fault_of_the_disk_is_named_at_every_call_and_costs_nothing(data: Path, writer: Writer, number: int) -> None:
    told = []
    for at in range(1, MOST_CALLS):
        writer.prepare(data)
        with failing_disk(data, number, at) as disk:
            try:
                writer.act(data)
            except MachineError as error:
                told.append((disk.struck, str(error)))
        writer.prepare(data)
        writer.act(data)
        if not disk.struck:
            break
    assert not disk.struck
    assert told
    assert [each for each in told if str(data) not in each[1] or not WAY_OUT.search(each[1])] == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_pages_are_the_old_ones_or_the_new_ones_whatever_fails(data: Path, number: int) -> None:
    pages = data / "pages"
    new = {"index.html": "new", "a/b.html": "new"}
    for at in range(1, MOST_CALLS):
        erasure.remove(pages)
        write_folder(pages, {"index.html": "old", "a/b.html": "old", "gone.html": "old"})
        with failing_disk(data, number, at) as disk:
            try:
                write_folder(pages, new)
                failed = False
            except MachineError:
                failed = True
        found = {file.relative_to(pages).as_posix(): file.read_text() for file in pages.rglob("*.html")}
        assert set(found.values()) == {"old"} or found == new, disk.struck
        assert len(found) == (3 if "old" in found.values() else 2)
        if not failed and not disk.struck:
            break
    assert at > 10
    remove_partials(data)  # what a disk that fails while it is tidied keeps
    assert [each.name for each in data.iterdir()] == ["pages"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_log_that_cannot_be_written_is_named_for_a_run_that_goes_on_without(data: Path, number: int) -> None:
    with failing_disk(data, number, 1), pytest.raises(RunLogError, match=r"cannot be written to .*give this user"):
        RunLog(data / "logs", "a run")
    log = RunLog(data / "logs", "a run")
    with failing_disk(data, number, 1), pytest.raises(RunLogError, match="cannot be written any further"):
        log.write("a line")
    log.close()


def test_the_detector_s_library_gets_no_home_on_a_failing_disk(data: Path) -> None:
    with failing_disk(data, errno.EIO, 1), pytest.raises(MachineError, match=r"ultralytics could not be written"):
        prepare_ultralytics(ArtifactStore(data / "lake"))


def test_a_lock_that_a_full_disk_could_not_clear_is_taken_for_a_killed_run(data: Path) -> None:
    """A run that ended well is no failure for that; the next one looks for what it may have left, and finds nothing."""
    with hold_data_folder(data, "one", wait=False):
        written = json.loads((data / ".runs" / "data_folder.lock").read_text())
        disk = failing_disk(data, errno.EIO, 1)
        disk.__enter__()
    disk.__exit__(None, None, None)
    assert written["run_id"] == "one"
    with hold_data_folder(data, "two", wait=False) as died:
        assert died is not None
        assert died.run_id == "one"
