from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydicom.dataset import Dataset

from olvf_assets.intake.checks import pictures_agree_with_headers
from olvf_assets.intake.pixels.picture_net import PictureKind
from olvf_assets.intake.pixels.picture_views import decide_view, field_of, kind_of_picture
from olvf_assets.intake.pixels.pixels import film_pixels
from olvf_assets.phantom.dicom import make_dataset
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.phantom_films import Case, cases
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, film, headers, hospital, pixels

SAYS_HOW = (
    "ViewPosition", "PatientOrientation", "SeriesDescription", "ProtocolName", "BodyPartExamined", "ViewCodeSequence",
    "AnatomicRegionSequence",
)  # fmt: skip
LATERAL = PictureKind(lumbar=0.97, thoracic=0.01, frontal=0.01, other=0.01)
THORACIC = PictureKind(lumbar=0.02, thoracic=0.95, frontal=0.02, other=0.01)
EITHER = PictureKind(lumbar=0.55, thoracic=0.42, frontal=0.02, other=0.01)
BETWEEN = PictureKind(lumbar=0.5, thoracic=0.1, frontal=0.35, other=0.05)
FRONTAL = PictureKind(lumbar=0.01, thoracic=0.01, frontal=0.95, other=0.03)
HAND = PictureKind(lumbar=0.01, thoracic=0.01, frontal=0.08, other=0.9)
SILENT: dict[str, Any] = {
    "view_source": None, "view_evidence": "nothing", "body_part": None, "body_part_source": None,
    "body_part_evidence": "nothing", "bending": "unknown",
}  # fmt: skip
SAID: dict[str, Any] = {
    "view_source": "header", "view_evidence": "ViewPosition LL", "body_part": "lumbar", "body_part_source": "header",
    "body_part_evidence": "BodyPartExamined LSPINE", "bending": "flexion",
}  # fmt: skip
PART_SILENT = SAID | {"body_part": None, "body_part_source": None, "bending": "neutral"}


def blanked(case: Case) -> Dataset:
    """Return a film whose header tells nothing of how it was taken, of a patient of the sample hospital."""
    header = make_dataset(case.film, case.patient, case.plan, case.site)
    for keyword in SAYS_HOW:
        delattr(header, keyword)
    header.PatientID = "A-1"
    return header


@pytest.fixture(scope="module")
def taken_in(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], dict[str, Any]]:
    """Return rows of `film_pixels` by view and patient, of phantom films with blanked headers."""
    root = tmp_path_factory.mktemp("blanked")
    views = ("neutral", "flexion", "extension", "thoracic", "frontal")
    found = list(cases(3, 4, views, pixel_mm=0.3))
    films = {f"{number // len(views)}-{case.view}.dcm": blanked(case) for number, case in enumerate(found)}
    table: pl.DataFrame = pixels(hospital(root, dict(films)), root)
    return {
        (Path(row["path"]).stem.split("-")[1], int(Path(row["path"]).stem[0])): row
        for row in table.iter_rows(named=True)
    }


def test_a_frontal_film_whose_header_is_silent_is_never_taken_for_a_lateral_one(
    taken_in: dict[tuple[str, int], dict[str, Any]],
) -> None:
    reasons = [row["refusal"] for (view, _), row in taken_in.items() if view == "frontal"]
    assert len(reasons) == 3
    assert set(reasons) <= {"not_lateral", "view_undecided"}


@pytest.mark.parametrize("view", ["neutral", "flexion", "extension"])
def test_a_lateral_film_whose_header_is_silent_is_used_with_its_bending_unknown(
    taken_in: dict[tuple[str, int], dict[str, Any]], view: str
) -> None:
    rows = [row for (each, _), row in taken_in.items() if each == view and row["refusal"] is None]
    assert len(rows) >= 2
    for row in rows:
        assert (row["view"], row["view_source"], row["body_part_source"]) == ("unknown", "image", "image")
        assert row["body_part"] in ("lumbar", "spine")
        assert row["view_evidence"].startswith("nothing in the header says how the film was taken; the picture looks")


def test_a_thoracic_film_whose_header_is_silent_is_no_lumbar_one(
    taken_in: dict[tuple[str, int], dict[str, Any]],
) -> None:
    rows = [row for (view, _), row in taken_in.items() if view == "thoracic"]
    assert {row["body_part"] for row in rows if row["refusal"] is None} <= {"thoracic", "spine"}
    assert {row["refusal"] for row in rows} <= {None, "view_undecided"}


@pytest.mark.parametrize(
    ("film", "kind", "refusal", "view", "source", "part"),
    [
        (SILENT, LATERAL, None, "unknown", "image", "lumbar"),
        (SILENT, BETWEEN, "view_undecided", None, None, None),
        (SILENT, FRONTAL, "not_lateral", None, None, None),
        (SILENT, HAND, "not_lateral", None, None, None),
        (SILENT, THORACIC, None, "thoracic", "image", "thoracic"),
        (SILENT, EITHER, None, "unknown", "image", "spine"),
        (SILENT | {"bending": "flexion"}, LATERAL, None, "flexion", "image", "lumbar"),
        (SAID, LATERAL, None, "flexion", "header", "lumbar"),
        (SAID, BETWEEN, None, "flexion", "header", "lumbar"),
        (SAID, FRONTAL, None, "flexion", "header", "lumbar"),
        (SAID, HAND, None, "flexion", "header", "lumbar"),
        (PART_SILENT, EITHER, None, "neutral", "header", "spine"),
        (PART_SILENT, FRONTAL, None, "neutral", "header", "spine"),
        (PART_SILENT, THORACIC, None, "thoracic", "header", "thoracic"),
        (SILENT | {"body_part": "lumbar", "body_part_source": "header"}, THORACIC, None, "unknown", "image", "lumbar"),
    ],
)
def test_the_picture_speaks_where_the_header_is_silent_and_never_against_a_clear_one(
    film: dict[str, Any], kind: PictureKind, refusal: str | None, view: str | None, source: str | None,
    part: str | None,
) -> None:  # fmt: skip
    found = decide_view(film, kind)
    assert (found["refusal"], found.get("view"), found.get("view_source"), found.get("body_part")) == (
        refusal, view, source, part,
    )  # fmt: skip
    assert found["refusal"] is None or "fill in ViewPosition" in found["refusal_detail"]


@pytest.mark.parametrize(
    ("film", "kind", "doubt"),
    [
        (SAID, LATERAL, None),
        (SAID, EITHER, None),
        (SAID, BETWEEN, None),  # not sure enough
        (SAID, FRONTAL, "ViewPosition LL, but the picture looks like a lateral spine with probability 0.02"),
        (SAID, HAND, "ViewPosition LL, but the picture looks like a lateral spine with probability 0.02"),
        (SAID, THORACIC, "BodyPartExamined LSPINE, but the picture looks thoracic"),
        (SAID | {"body_part": "thoracic"}, LATERAL, "BodyPartExamined LSPINE, but the picture looks lumbar"),
        (SAID | {"body_part": "spine"}, THORACIC, None),
        (SILENT, LATERAL, None),  # the picture cannot doubt itself
        (PART_SILENT, THORACIC, None),
    ],
)
def test_a_header_is_doubted_where_the_picture_surely_says_otherwise(
    film: dict[str, Any], kind: PictureKind, doubt: str | None
) -> None:
    found = decide_view(film, kind)["view_doubt"]
    assert found is None if doubt is None else str(found).startswith(doubt)


def test_a_frontal_film_under_a_clear_lateral_header_is_taken_in_and_marked(tmp_path: Path) -> None:
    (case,) = cases(1, 4, ("frontal",), pixel_mm=0.3)
    header = make_dataset(case.film, case.patient, case.plan, case.site)
    header.PatientID = "A-1"
    row = pixels(hospital(tmp_path, {"a.dcm": header}), tmp_path).row(0, named=True)
    assert (row["refusal"], row["view_source"]) == (None, "header")
    assert row["view_doubt"].startswith("ViewPosition")
    listed = pictures_agree_with_headers.find(None, pl.DataFrame([row]))
    assert listed["path"].to_list() == [row["path"]]
    assert not pictures_agree_with_headers.blocking


def test_margins_do_not_count() -> None:
    field = (np.random.default_rng(3).random((60, 50)) * 150 + 50).astype(np.uint8)
    framed = np.pad(np.kron(field, np.ones((4, 4), np.uint8)), ((40, 40), (80, 0)))
    np.testing.assert_allclose(field_of(framed, 1.0), field, atol=1)
    assert kind_of_picture(framed, 1.0) == kind_of_picture(np.kron(field, np.ones((4, 4), np.uint8)), 1.0)


@pytest.mark.parametrize("kind", ["flat", "noise", "brighter downwards", "blob"])
def test_a_picture_of_something_else_decides_nothing(tmp_path: Path, kind: str) -> None:
    down, right = np.mgrid[0:80, 0:60]
    pictures = {
        "flat": 8000 + down % 2,
        "noise": np.random.default_rng(5).integers(0, 16000, (80, 60)),
        "brighter downwards": down * 200,
        "blob": 16000 * np.exp(-((right - 15) ** 2 + (down - 20) ** 2) / 400),
    }
    content = pictures[kind].astype(np.uint16).tobytes()
    silent = film("x", ViewPosition=None, Rows=80, Columns=60, PixelData=content, ImagerPixelSpacing=[4.0, 4.0])
    settings = SETTINGS.model_copy(update={"pixel_mm_range": (0.1, 5.0)})
    folder = hospital(tmp_path, {"a.dcm": silent})
    found = headers(folder, settings=settings)
    row = film_pixels(folder, found, ArtifactStore(tmp_path / "lake"), NAMES, settings).row(0, named=True)
    assert row["refusal"] in ("view_undecided", "not_lateral")
    assert row["image_path"] is None
