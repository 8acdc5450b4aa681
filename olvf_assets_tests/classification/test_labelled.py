"""Scores and labels put together."""

import polars as pl

from olvf_assets.classification import labelled, merging
from olvf_assets.classification.ensemble import ensemble_predictions
from olvf_assets.classification.settings import ARCHITECTURES
from olvf_assets.classification.tables import BALANCED_TEST_SET, CROP_SCORES, FOLD_PREDICTIONS

FOLDS = (1, 2)
# crop -> institution and role; F1 is held out with a replica, F9 was excluded after it was scored
WHERE = {
    "F1-L1": ("institution_1", "development", "fresh"),
    "F2-L1": ("institution_1", "development", None),
    "F3-L1": ("institution_2", "external", "old"),
    "F4-L1": ("institution_3", "external", None),
    "F5-L1": ("institution_1", "development", "normal"),  # of a hospital that the profile trains without, say
}


def crops(**labels: str | None) -> pl.DataFrame:
    rows = [
        ("patient", institution, role, crop, labels.get(crop.split("-")[0], label))
        for crop, (institution, role, label) in WHERE.items()
    ]
    names = ["protocol", "institution", "role", "crop_id", "label"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def scores() -> pl.DataFrame:
    samples = [(crop, 0) for crop in [*WHERE, "F9-L1"]] + [("F1-L1", 1)]
    rows = [
        {
            "protocol": "patient", "institution": WHERE.get(crop, ("institution_2",))[0], "architecture": name,
            "fold": fold, "sample_id": f"{crop}-r{replica}", "crop_id": crop, "patient_id": crop[:2].replace("F", "P"),
            "level": "L1", "replica": replica, "p_normal": 0.2, "p_old": 0.3, "p_fresh": 0.5,
            "image_path": f"images/{crop}.png", "weights_sha256": f"{name}{fold}",
        }
        for crop, replica in samples for name in ARCHITECTURES for fold in FOLDS
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=CROP_SCORES)


def held_out() -> pl.DataFrame:
    rows = [
        {"protocol": "patient", "sample_id": f"F1-L1-r{replica}", "crop_id": "F1-L1", "institution": "institution_1",
         "label": "fresh", "replica": replica}
        for replica in (0, 1)
    ]  # fmt: skip
    return pl.DataFrame([{name: row.get(name) for name in BALANCED_TEST_SET} for row in rows], schema=BALANCED_TEST_SET)


def test_each_sample_is_in_the_dataset_of_its_hospital_and_excluded_ones_in_none() -> None:
    table = labelled.fold_predictions(scores(), held_out(), crops())
    assert table.schema == FOLD_PREDICTIONS
    found = table.select("dataset", "sample_id", "label").unique().sort("dataset", "sample_id").rows()
    assert found == [
        ("external", "F3-L1-r0", "old"),
        ("external", "F4-L1-r0", None),
        ("test", "F1-L1-r0", "fresh"),
        ("test", "F1-L1-r1", "fresh"),
        ("unlabelled", "F2-L1-r0", None),
    ]
    assert table.height == 5 * len(ARCHITECTURES) * len(FOLDS)


def test_a_label_that_comes_later_changes_the_label_and_nothing_else() -> None:
    before = labelled.fold_predictions(scores(), held_out(), crops())
    after = labelled.fold_predictions(scores(), held_out(), crops(F4="fresh"))
    assert after.drop("label").equals(before.drop("label"))
    assert after.filter(crop_id="F4-L1")["label"].unique().to_list() == ["fresh"]


def test_vertebrae_and_patients_are_judged_without_a_label_and_nothing_is_said_of_the_truth() -> None:
    ensembles = ensemble_predictions(labelled.fold_predictions(scores(), held_out(), crops()), len(FOLDS))
    vertebrae = merging.vertebra_predictions(ensembles)
    patients = merging.patient_predictions(vertebrae).filter(model="ensemble_of_15")
    said = {row["institution"] + row["patient_id"]: row for row in patients.iter_rows(named=True)}
    unlabelled, old = said["institution_3P4"], said["institution_2P3"]
    assert (unlabelled["any_fresh"], unlabelled["predicted_any_fresh"]) == (None, True)
    assert (old["any_fresh"], old["predicted_any_fresh"]) == (False, True)
    assert said["institution_1P1"]["any_fresh"] is True
    assert vertebrae.filter(patient_id="P4")["label"].null_count() == len(FOLDS) + 1
