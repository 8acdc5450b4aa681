"""Who is called fresh, with labels or without."""

import polars as pl
import pytest

from olvf_assets.classification import merging
from olvf_assets.classification.ensemble import ensemble_predictions
from olvf_assets.classification.settings import ARCHITECTURES
from olvf_assets.classification.tables import FOLD_PREDICTIONS
from olvf_assets.evaluation.calls import operating_point_calls
from olvf_assets.evaluation.operating import NO_THRESHOLD
from olvf_assets.evaluation.predictions import BrokenPredictionsError
from olvf_assets.evaluation.tables import OPERATING_POINT_CALLS, OPERATING_POINTS

FOLDS = 3
# crop -> dataset, hospital, label, p_fresh in the three folds
CROPS = {
    "F1-L1": ("external", "institution_2", "fresh", (0.9, 0.8, 0.7)),
    "F1-L2": ("external", "institution_2", "normal", (0.6, 0.2, 0.1)),
    "F2-L1": ("external", "institution_3", None, (0.7, 0.7, 0.1)),
    "F3-L1": ("unlabelled", "institution_1", None, (0.3, 0.1, 0.1)),
    "F4-L1": ("test", "institution_1", "fresh", (0.9, 0.9, 0.9)),
}


def scores() -> pl.DataFrame:
    rows = [
        {
            "protocol": "patient", "dataset": dataset, "institution": hospital, "architecture": name, "fold": fold + 1,
            "sample_id": f"{crop}-r0", "crop_id": crop, "patient_id": crop[:2].replace("F", "P"), "level": crop[3:],
            "label": label, "replica": 0, "p_normal": (1 - p[fold]) / 4, "p_old": 3 * (1 - p[fold]) / 4,
            "p_fresh": p[fold], "image_path": f"images/{crop}.png", "weights_sha256": f"{name}{fold}",
        }
        for crop, (dataset, hospital, label, p) in CROPS.items() for name in ARCHITECTURES for fold in range(FOLDS)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=FOLD_PREDICTIONS)


def points(**thresholds: float) -> pl.DataFrame:
    """Return `operating_points`: 0.5 for 0.9 and 0.15 for 0.95, in all folds, unless another is given by fold."""
    rows = [
        {"protocol": "patient", "model": "ensemble", "fold": str(fold + 1), "unit": unit, "positive_class": "fresh",
         "target_sensitivity": target, "threshold": thresholds.get(f"fold_{fold + 1}", threshold)}
        for fold in range(FOLDS) for unit in ("vertebra", "patient") for target, threshold in ((0.9, 0.5), (0.95, 0.15))
    ]  # fmt: skip
    return pl.DataFrame([{name: row.get(name) for name in OPERATING_POINTS} for row in rows], schema=OPERATING_POINTS)


def calls(operating_points: pl.DataFrame) -> pl.DataFrame:
    ensembles = ensemble_predictions(scores(), FOLDS)
    patients = merging.patient_predictions(merging.vertebra_predictions(ensembles))
    return operating_point_calls(ensembles, patients, operating_points)


def test_more_than_half_of_the_folds_decide_for_crops_and_patients_with_a_label_or_without() -> None:
    table = calls(points())
    assert table.schema == OPERATING_POINT_CALLS
    said = {
        (row["unit"], row["crop_id"] or row["patient_id"], row["target_sensitivity"]): row
        for row in table.iter_rows(named=True)
    }
    assert len(said) == table.height == 2 * (len(CROPS) + 4)
    assert [said["vertebra", crop, 0.9]["called_fresh"] for crop in CROPS] == [True, False, True, False, True]
    assert [said["vertebra", crop, 0.95]["called_fresh"] for crop in CROPS] == [True, True, True, False, True]
    assert [said["vertebra", crop, 0.9]["n_folds_fresh"] for crop in CROPS] == [3, 1, 2, 0, 3]
    assert [said["vertebra", crop, 0.9]["is_fresh"] for crop in CROPS] == [True, False, None, None, True]
    patient = said["patient", "P1", 0.9]
    assert (patient["called_fresh"], patient["is_fresh"], patient["level"]) == (True, True, None)
    assert patient["score"] == pytest.approx(0.8)
    unread = said["patient", "P2", 0.9]
    assert (unread["called_fresh"], unread["is_fresh"], unread["institution"]) == (True, None, "institution_3")


def test_folds_without_a_threshold_have_no_say_and_without_any_there_is_a_reason() -> None:
    some = calls(points(fold_1=float("nan"))).filter(unit="vertebra", crop_id="F2-L1", target_sensitivity=0.9)
    assert some.select("n_folds", "n_folds_fresh", "called_fresh").row(0) == (2, 1, False)
    none = calls(points(**{f"fold_{fold}": float("nan") for fold in (1, 2, 3)}))
    assert none["called_fresh"].null_count() == none.height
    assert set(none["reason"]) == {NO_THRESHOLD}


def test_a_fold_that_has_no_operating_point_is_refused() -> None:
    with pytest.raises(BrokenPredictionsError, match="none of fold 2; materialise validation_predictions"):
        calls(points().filter(pl.col("fold") != "2"))
