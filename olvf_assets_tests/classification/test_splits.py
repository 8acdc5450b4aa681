import polars as pl
import pytest

from olvf_assets.classification.splits import SplitError, make_splits
from olvf_assets.classification.tables import SPLITS
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets_tests.classification.made_up import small_settings

SETTINGS = small_settings(folds=2)
SIDES = {"P1": ("test", None), "P2": ("train", 1), "P3": ("train", 2)}


def crops(**changes: list[str]) -> pl.DataFrame:
    """One crop of each class for each of three patients, and one of an external patient."""
    rows = [
        ("patient", "institution_1", "development", f"F{patient}-L{index + 1}", patient, f"L{index + 1}", label)
        for patient in SIDES
        for index, label in enumerate(changes.get(patient, list(CLASSES)))
    ]
    rows.append(("patient", "institution_2", "external", "FX-L1", "PX", "L1", "old"))
    names = ["protocol", "institution", "role", "crop_id", "patient_id", "level", "label"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(image_path="crop_id")


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
    table = make_splits(crops(), patients(), SETTINGS, 1)
    assert table.schema == SPLITS
    assert table["crop_id"].to_list() == [f"F{patient}-L{level}" for patient in SIDES for level in (1, 2, 3)]
    assert table.select("patient_id", "role", "fold").unique(maintain_order=True).rows() == [
        (patient, role, fold) for patient, (role, fold) in SIDES.items()
    ]


def test_a_crop_that_nobody_labelled_is_on_no_side() -> None:
    new = crops().filter(patient_id="P3").with_columns(patient_id=pl.lit("P_new"), label=pl.lit(None, pl.String))
    new = new.with_columns(crop_id=pl.col("crop_id") + "-new")
    together = pl.concat([crops(), new], how="vertical_relaxed")
    assert make_splits(together, patients(), SETTINGS, 1).equals(make_splits(crops(), patients(), SETTINGS, 1))


def test_a_development_patient_without_a_side_is_refused_by_name() -> None:
    sides = {name: side for name, side in SIDES.items() if name != "P3"}
    with pytest.raises(SplitError, match=r"1 patients with development crops have no side \(P3\)"):
        make_splits(crops(), patients(sides), SETTINGS, 1)


def test_a_patient_on_two_sides_is_refused() -> None:
    twice = pl.concat([patients(), patients({"P2": ("train", 2)})])
    with pytest.raises(SplitError, match="patient P2 has more than one row"):
        make_splits(crops(), twice, SETTINGS, 1)


@pytest.mark.parametrize("side", [("train", None), ("train", 3), ("train", 0), ("test", 1), ("validation", 1)])
def test_an_impossible_side_is_refused(side: tuple[str, int | None]) -> None:
    with pytest.raises(SplitError, match="patient P2 has role"):
        make_splits(crops(), patients({**SIDES, "P2": side}), SETTINGS, 1)


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
        make_splits(crops(**{patient: labels}), patients(), SETTINGS, 1)


def test_a_study_without_development_crops_is_refused() -> None:
    external = crops().filter(pl.col("role") == "external")
    with pytest.raises(SplitError, match="no labelled crop of a development institution"):
        make_splits(external, patients(), SETTINGS, 1)
    with pytest.raises(SplitError, match="patient_splits is empty"):
        make_splits(crops(), patients({}), SETTINGS, 1)


def test_protocol_thesis_holds_out_a_tenth_of_each_class_whoever_it_is_of() -> None:
    counts = {"normal": 2284, "old": 676, "fresh": 521}
    labels = [label for label, count in counts.items() for _ in range(count)]
    table = pl.DataFrame(
        {
            "protocol": "thesis",
            "institution": "institution_1",
            "role": "development",
            "crop_id": [f"F{number:04}-L1" for number in range(len(labels))],
            "patient_id": [f"P{number % 415}" for number in range(len(labels))],
            "level": "L1",
            "label": labels,
            "image_path": "images/one.png",
        }
    )
    sides = make_splits(table, patients(), SETTINGS, 1)
    held_out = sides.filter(role="test")
    assert dict(held_out["label"].value_counts().iter_rows()) == {"normal": 228, "old": 68, "fresh": 52}
    assert sides["fold"].is_null().all()
    assert set(held_out["patient_id"]) & set(sides.filter(role="train")["patient_id"])
    assert sides.equals(make_splits(table.reverse(), patients(), SETTINGS, 1))
    assert not sides.equals(make_splits(table, patients(), SETTINGS, 2))


def test_protocol_thesis_needs_crops_of_every_class() -> None:
    thesis = crops().with_columns(protocol=pl.lit("thesis"))
    with pytest.raises(SplitError, match=r"3 normal crops are too few to hold out 0\.1"):
        make_splits(thesis, patients(), SETTINGS, 1)
