import polars as pl
import pytest

from olvf_assets.classification.splits import SplitError, make_splits
from olvf_assets.classification.tables import SPLITS
from olvf_assets.foundation.vocabulary import CLASSES

FOLDS = 2
SIDES = {"P1": ("test", None), "P2": ("train", 1), "P3": ("train", 2)}


def crops(**changes: list[str]) -> pl.DataFrame:
    """One crop of each class for each of three patients, and one of an external patient."""
    rows = [
        ("institution_1", "development", f"F{patient}-L{index + 1}", patient, f"L{index + 1}", label)
        for patient in SIDES
        for index, label in enumerate(changes.get(patient, list(CLASSES)))
    ]
    rows.append(("institution_2", "external", "FX-L1", "PX", "L1", "old"))
    names = ["institution", "role", "crop_id", "patient_id", "level", "label"]
    return pl.DataFrame(rows, schema=names, orient="row")


def patients(sides: dict[str, tuple[str, int | None]] = SIDES) -> pl.DataFrame:
    rows = [("patient", "institution_1", patient, role, fold) for patient, (role, fold) in sides.items()]
    names = {
        "protocol": pl.String,
        "institution": pl.String,
        "patient_id": pl.String,
        "role": pl.String,
        "fold": pl.Int64,
    }
    return pl.DataFrame(rows, schema=names, orient="row")


def test_every_development_crop_takes_the_side_of_its_patient() -> None:
    table = make_splits(crops(), patients(), FOLDS)
    assert table.schema == SPLITS
    assert table["crop_id"].to_list() == [f"F{patient}-L{level}" for patient in SIDES for level in (1, 2, 3)]
    assert table.select("patient_id", "role", "fold").unique(maintain_order=True).rows() == [
        (patient, role, fold) for patient, (role, fold) in SIDES.items()
    ]


def test_a_development_patient_without_a_side_is_refused_by_name() -> None:
    sides = {name: side for name, side in SIDES.items() if name != "P3"}
    with pytest.raises(SplitError, match=r"1 patients with development crops have no side \(P3\)"):
        make_splits(crops(), patients(sides), FOLDS)


def test_a_patient_on_two_sides_is_refused() -> None:
    twice = pl.concat([patients(), patients({"P2": ("train", 2)})])
    with pytest.raises(SplitError, match="patient P2 has more than one row"):
        make_splits(crops(), twice, FOLDS)


@pytest.mark.parametrize("side", [("train", None), ("train", 3), ("train", 0), ("test", 1), ("validation", 1)])
def test_an_impossible_side_is_refused(side: tuple[str, int | None]) -> None:
    with pytest.raises(SplitError, match="patient P2 has role"):
        make_splits(crops(), patients({**SIDES, "P2": side}), FOLDS)


@pytest.mark.parametrize(
    ("patient", "labels", "side"),
    [
        ("P1", ["normal", "old"], "no fresh vertebra in the test set"),
        ("P3", ["normal", "normal"], "no old and no fresh vertebra in the training side of fold 1"),
        ("P2", ["fresh"], "no normal and no old vertebra in the validation side of fold 1"),
    ],
)
def test_a_class_missing_from_a_side_is_refused_by_name(patient: str, labels: list[str], side: str) -> None:
    with pytest.raises(SplitError, match=side):
        make_splits(crops(**{patient: labels}), patients(), FOLDS)


def test_a_study_without_development_crops_is_refused() -> None:
    external = crops().filter(pl.col("role") == "external")
    with pytest.raises(SplitError, match="no crop of a development institution"):
        make_splits(external, patients(), FOLDS)
    with pytest.raises(SplitError, match="patient_splits is empty"):
        make_splits(crops(), patients({}), FOLDS)
