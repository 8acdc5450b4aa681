from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydicom.dataset import Dataset

from olvf_assets.intake.pixels.picture_views import PictureTraits, decide_view, mirror_symmetry, picture_traits
from olvf_assets.intake.pixels.pixels import film_pixels
from olvf_assets.phantom.dicom import make_dataset
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.phantom_films import Case, cases
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, film, headers, hospital, pixels

SAYS_HOW = (
    "ViewPosition", "PatientOrientation", "SeriesDescription", "ProtocolName", "BodyPartExamined", "ViewCodeSequence",
    "AnatomicRegionSequence",
)  # fmt: skip
LATERAL = PictureTraits(
    symmetry=0.2, spine_on_axis=0.5, dark_back=0.8, filled=0.95, edge_height=0.1, upper_brightness=0.9
)
THORACIC = LATERAL._replace(edge_height=0.45, upper_brightness=0.6)
BETWEEN = LATERAL._replace(symmetry=0.9)
FRONTAL = PictureTraits(
    symmetry=0.9, spine_on_axis=0.75, dark_back=0.0, filled=1.0, edge_height=0.9, upper_brightness=1.0
)
SURELY_FRONTAL = FRONTAL._replace(spine_on_axis=0.95)
SILENT: dict[str, Any] = {
    "view_source": None, "view_evidence": "nothing", "body_part": None, "body_part_source": None,
    "body_part_evidence": "nothing", "bending": "unknown",
}  # fmt: skip
SAID: dict[str, Any] = {
    "view_source": "header", "view_evidence": "ViewPosition LL", "body_part": "lumbar", "body_part_source": "header",
    "body_part_evidence": "BodyPartExamined LSPINE", "bending": "flexion",
}  # fmt: skip


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
        assert (row["view"], row["view_source"], row["body_part"], row["body_part_source"]) == (
            "unknown", "image", "lumbar", "image",
        )  # fmt: skip
        assert row["view_evidence"].startswith("nothing in the header says how the film was taken; the picture's")


def test_a_thoracic_film_whose_header_is_silent_is_known_by_its_diaphragm_or_refused(
    taken_in: dict[tuple[str, int], dict[str, Any]],
) -> None:
    rows = [row for (view, _), row in taken_in.items() if view == "thoracic"]
    assert {row["view"] for row in rows if row["refusal"] is None} == {"thoracic"}
    assert {row["refusal"] for row in rows} <= {None, "body_part_undecided", "view_undecided"}


@pytest.mark.parametrize(
    ("film", "traits", "refusal", "view", "source"),
    [
        (SILENT, LATERAL, None, "unknown", "image"),
        (SILENT, BETWEEN, "view_undecided", None, None),
        (SILENT, FRONTAL, "not_lateral", None, None),
        (SILENT, LATERAL._replace(edge_height=0.3), "body_part_undecided", None, None),
        (SILENT, THORACIC, None, "thoracic", "image"),
        (SILENT, LATERAL._replace(upper_brightness=0.6), "body_part_undecided", None, None),
        (SILENT, LATERAL._replace(dark_back=0.1), "view_undecided", None, None),
        (SILENT, LATERAL._replace(filled=0.6), "view_undecided", None, None),
        (SILENT | {"bending": "flexion"}, LATERAL, None, "flexion", "image"),
        (SAID, LATERAL, None, "flexion", "header"),
        (SAID, BETWEEN, None, "flexion", "header"),
        (SAID, FRONTAL, None, "flexion", "header"),  # not sure enough to speak against a header
        (SAID, SURELY_FRONTAL, "not_lateral", None, None),
        (SAID | {"body_part": None, "body_part_source": None}, LATERAL._replace(edge_height=0.3), "body_part_undecided",
         None, None),
    ],
)  # fmt: skip
def test_the_picture_speaks_where_the_header_is_silent_or_plainly_wrong(
    film: dict[str, Any], traits: PictureTraits, refusal: str | None, view: str | None, source: str | None
) -> None:
    found = decide_view(film, traits)
    assert (found["refusal"], found.get("view"), found.get("view_source")) == (refusal, view, source)
    assert found["refusal"] is None or found["refusal_detail"]


def test_a_picture_that_is_its_own_mirror_image_has_symmetry_one_and_margins_do_not_count() -> None:
    half = np.random.default_rng(3).random((60, 25))
    field = np.concatenate([half, half[:, ::-1]], axis=1).astype(np.float32) * 200
    assert mirror_symmetry(field)[0] == pytest.approx(1.0, abs=1e-5)
    framed = np.pad(np.kron(field, np.ones((4, 4))), ((40, 40), (80, 0))).astype(np.uint8)
    assert picture_traits(framed, 1.0).symmetry > 0.98


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
    assert (row["refusal"], row["image_path"]) == ("view_undecided", None)
