"""A folder of drafts appears whole, goes on after a kill, and is never written over what a person did."""

import os
from pathlib import Path

import pytest

from olvf_assets.detection.drafts import written
from olvf_assets.detection.drafts.remembered import remembered
from olvf_assets.detection.drafts.written import DraftFolderError
from olvf_assets.storage.artifacts import DamagedPictureError
from olvf_assets_tests.detection.drafts.drafted import BOXES, ONE, TWO, Drafted, draft


@pytest.fixture
def drafted(tmp_path: Path) -> Drafted:
    return Drafted(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_drafts_are_written_once(drafted: Drafted) -> None:
    assert drafted.write(["yolo"])
    before = {path: path.stat().st_ino for path in drafted.out.rglob("*")}
    assert not drafted.write(["yolo"])
    assert {path: path.stat().st_ino for path in drafted.out.rglob("*")} == before
    assert len(remembered(drafted.store, "institution_1")[ONE]) == 1


def test_drafts_that_nobody_changed_are_replaced_as_a_whole(drafted: Drafted) -> None:
    drafted.write(["yolo"])
    drafted.drafts = drafted.drafts[1:]
    assert drafted.write(["voc"])
    assert sorted(files(drafted.out)) == [
        ".drafts.json", "README.txt", f"annotations/0001_{ONE}.xml", "classes.txt", "cvat/pascal_voc_1.1.zip",
        f"images/0001_{ONE}.png", "order.csv",
    ]  # fmt: skip
    assert sorted(path.name for path in drafted.root.iterdir()) == ["drafts", "institution_1", "lake"]


@pytest.mark.parametrize(
    "work",
    [
        lambda out: (out / "labels" / f"0002_{ONE}.txt").write_text("0 0.5 0.5 0.1 0.1\n"),
        lambda out: (out / "labels" / f"0001_{TWO}.txt").unlink(),
        lambda out: (out / "annotations").mkdir() or (out / "annotations" / "new.xml").write_text("<annotation/>"),
        lambda out: (out / "images" / f"0001_{TWO}.png").unlink(),
        lambda out: (out / ".drafts.json").unlink(),
        lambda out: (out / ".drafts.json").write_text("torn {"),
    ],
)
def test_a_persons_work_is_never_written_over(drafted: Drafted, work: object) -> None:
    drafted.write(["yolo"])
    work(drafted.out)  # type: ignore[operator]
    before = files(drafted.out)
    drafted.drafts = [draft(ONE, drafted.drafts[1].image_path, *BOXES[:1])]
    with pytest.raises(DraftFolderError, match="--out"):
        drafted.write(["yolo"])
    assert files(drafted.out) == before


def test_a_folder_of_something_else_is_left_alone(drafted: Drafted) -> None:
    drafted.out.mkdir()
    (drafted.out / "thesis.docx").write_bytes(b"years of work")
    with pytest.raises(DraftFolderError, match="no folder of drafts"):
        drafted.write()
    drafted.out = drafted.out / "thesis.docx"
    with pytest.raises(DraftFolderError, match="no folder of drafts"):
        drafted.write()


def test_work_that_begins_while_pictures_are_copied_is_not_written_over(
    drafted: Drafted, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafted.write(["yolo"])
    label = drafted.out / "labels" / f"0002_{ONE}.txt"
    put_files = written._put_files
    monkeypatch.setattr(written, "_put_files", lambda *given: (put_files(*given), label.write_text("")))
    drafted.drafts.reverse()
    with pytest.raises(DraftFolderError, match="0002"):
        drafted.write(["yolo"])
    assert label.read_text() == ""


def test_a_killed_call_leaves_nothing_under_the_name_and_goes_on(
    drafted: Drafted, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    bring = written._bring
    brought: list[str] = []

    def killed_at_the_second(place: Path, image_path: str, store: object) -> None:
        if len(brought) == 1:
            raise KilledError
        brought.append(place.name)
        bring(place, image_path, store)  # type: ignore[arg-type]

    monkeypatch.setattr(written, "_bring", killed_at_the_second)
    with pytest.raises(KilledError):
        drafted.write()
    assert not drafted.out.exists()
    assert remembered(drafted.store, "institution_1") == {}
    monkeypatch.setattr(written, "_bring", bring)
    first = drafted.root / ".drafts.partial" / "images" / brought[0]
    inode = first.stat().st_ino
    assert drafted.write()
    assert (drafted.out / "images" / brought[0]).stat().st_ino == inode
    assert not list(drafted.root.glob(".drafts*"))


def test_a_kill_between_the_renames_costs_a_call_and_nothing_else(
    drafted: Drafted, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafted.write(["yolo"])
    whole = files(drafted.out)
    drafted.drafts.reverse()
    replace, calls = os.replace, []

    def killed_at_the_last(source: Path, target: Path) -> None:
        if Path(target) == drafted.out:
            calls.append(source)
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(written.os, "replace", killed_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        drafted.write(["yolo"])
    monkeypatch.undo()
    drafted.drafts.reverse()
    assert calls
    assert drafted.write(["yolo"])
    assert files(drafted.out) == whole
    assert not list(drafted.root.glob(".drafts*"))


def test_a_missing_picture_is_named_and_no_folder_appears(drafted: Drafted) -> None:
    drafted.store.path(drafted.drafts[0].image_path).unlink()
    with pytest.raises(DamagedPictureError, match="materialise"):
        drafted.write()
    assert not drafted.out.exists()
