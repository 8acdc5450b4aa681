"""`python -m olvf_assets draft-boxes`: which films, where, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from olvf_assets.__main__ import main
from olvf_assets.commands.draft_boxes import BadPlaceError, NothingToDraftError, draft_boxes
from olvf_assets.commands.hospitals import study_at_hand
from olvf_assets.detection.tables import DETECTED_FILMS, DETECTION_CANDIDATES
from olvf_assets.intake.tables import DRAWN_FILMS
from olvf_assets.orchestration.resources import AbsentTableError
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.run_lock import DataFolderInUseError, hold_data_folder

DRAWN, RETURNED, LISTED, NEW, LATER = (f"F{number}{'0' * 15}" for number in range(1, 6))


@pytest.fixture
def lake(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data folder of a study with a hospital of five films, the last of which was not searched yet."""
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "a key for tests only, long enough")
    store = ArtifactStore(data / "lake")
    films, found, bodies = [], [], []
    for number, film_id in enumerate((DRAWN, RETURNED, LISTED, NEW, LATER)):
        path, _ = store.save_image(np.full((40, 30), 10 * number, np.uint8))
        own = {"institution": "city", "film_id": film_id}
        films.append(own | {"image_path": path, "width_px": 30, "height_px": 40})
        if film_id != LATER:
            named = [{"candidate": 0, "level": "L3"}]
            found.append(own | {"protocol": "patient", "state": "resolved", "n_renamed": 0, "labelling": named,
                                "detector_sha256": "w"})  # fmt: skip
            corners = {"x0_px": 3.0, "y0_px": 4.0, "x1_px": 20.0, "y1_px": 15.0}
            bodies.append(own | {"protocol": "patient", "candidate": 0, "p_L3": 0.8, "detector_sha256": "w"} | corners)
    drawn = [(DRAWN, 5, False), (RETURNED, 0, True), (LISTED, 0, False)]
    rows = [("city", film_id, n_boxes, is_draft, "coco", []) for film_id, n_boxes, is_draft in drawn]
    for name, frame in {
        "films": pl.DataFrame(films),
        "detected_films": pl.DataFrame(found, schema=DETECTED_FILMS),
        "detection_candidates": pl.DataFrame(bodies, schema=DETECTION_CANDIDATES),
        "drawn_films": pl.DataFrame(rows, schema=DRAWN_FILMS, orient="row"),
    }.items():
        frame.write_delta(str(data / "lake" / "tables" / f"{name}.delta"))
    return data


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["olvf_assets", "draft-boxes", *words])
    return main()


def pictures(folder: Path) -> list[str]:
    return sorted(path.stem.split("_")[1] for path in (folder / "images").iterdir())


def test_drafts_of_all_searched_films_lie_in_the_data_folder(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "city") == 0
    assert pictures(lake / "draft_boxes" / "city") == [DRAWN, RETURNED, LISTED, NEW]
    assert sorted(path.name for path in (lake / "draft_boxes" / "city").iterdir()) == [
        ".drafts.json", "README.txt", "classes.txt", "cvat", "images", "labels", "order.csv",
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "1 films have come since the detector last ran" in said
    assert "4 films (levels told on each) in" in said
    assert str(lake / "landing" / "city" / "boxes") in (lake / "draft_boxes" / "city" / "README.txt").read_text()
    assert sorted(path.stem for path in (lake / "lake" / "drafts" / "city").iterdir()) == [DRAWN, RETURNED, LISTED, NEW]


def test_a_made_up_hospital_can_be_drafted_and_is_said_to_take_nothing_back(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("films", "detected_films", "detection_candidates", "drawn_films"):
        table = str(lake / "lake" / "tables" / f"{name}.delta")
        pl.read_delta(table).with_columns(institution=pl.lit("institution_1")).write_delta(table, mode="overwrite")
    assert run(monkeypatch, "institution_1") == 0
    assert "its landing folder takes no files of others" in capsys.readouterr().out
    assert pictures(lake / "draft_boxes" / "institution_1") == [DRAWN, RETURNED, LISTED, NEW]


def test_films_with_boxes_and_drafts_that_came_back_are_left_out_when_asked(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "for the technologist"
    assert run(monkeypatch, "city", "--only-without-boxes", "--out", str(out), "--format", "all") == 0
    assert pictures(out) == [LISTED, NEW]
    assert {path.name for path in out.iterdir()} >= {"labels", "annotations", "coco.json"}


@pytest.mark.parametrize("place", ["landing/city/boxes", "lake", "reports/drafts", "landing/../landing/city", "."])
def test_a_folder_that_olvf_reads_itself_is_refused(lake: Path, place: str) -> None:
    with pytest.raises(BadPlaceError, match="name another folder"):
        draft_boxes("city", study_at_hand(), out=lake / place, formats=["yolo"], only_without_boxes=False, report=print)


def test_a_hospital_that_is_not_there_is_named_beside_those_that_are(lake: Path) -> None:
    with pytest.raises(NothingToDraftError, match="ctiy has no films in the lake; hospitals with films: city"):
        draft_boxes("ctiy", study_at_hand(), out=None, formats=["yolo"], only_without_boxes=False, report=print)
    assert not (lake / "draft_boxes").exists()


def test_a_study_that_was_never_run_says_so(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AbsentTableError, match="films is not in the lake"):
        draft_boxes("city", study_at_hand(), out=None, formats=["yolo"], only_without_boxes=False, report=print)


def test_a_run_at_work_is_not_read_in_the_middle(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLVF_WAIT", "0")
    with hold_data_folder(lake, "a run", wait=False), pytest.raises(DataFolderInUseError, match="a run"):
        draft_boxes("city", study_at_hand(), out=None, formats=["yolo"], only_without_boxes=False, report=print)
