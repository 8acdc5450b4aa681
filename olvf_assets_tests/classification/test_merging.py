"""Films to vertebrae, vertebrae to patients, worked out by hand."""

import polars as pl
import pytest

from olvf_assets.classification.merging import patient_predictions, vertebra_predictions
from olvf_assets.classification.tables import ENSEMBLE_PREDICTIONS, PATIENT_PREDICTIONS, VERTEBRA_PREDICTIONS


def predictions(*crops: tuple[str, str, str, int, tuple[float, float, float]]) -> pl.DataFrame:
    """Return `ensemble_predictions` of crops: film (Pa1 is of Pa), level, label, replica and probabilities."""
    rows = [
        ("patient", "test", "institution_1", "ensemble", "1", f"{film}-{level}-r{replica}", f"{film}-{level}", film[:2],
         level, label, replica, *p, "normal", "image.png", "w0")
        for film, level, label, replica, p in crops
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=ENSEMBLE_PREDICTIONS, orient="row")


CROPS = predictions(
    ("Pa1", "L1", "fresh", 0, (0.5, 0.1, 0.4)),
    ("Pa2", "L1", "fresh", 0, (0.1, 0.1, 0.8)),
    ("Pa1", "L1", "fresh", 1, (1.0, 0.0, 0.0)),  # a replica counts nowhere
    ("Pa1", "L2", "normal", 0, (0.7, 0.2, 0.1)),
    ("Pb1", "L4", "old", 0, (0.2, 0.5, 0.3)),
    ("Pb1", "L5", "normal", 0, (0.5, 0.3, 0.2)),
)


def test_the_views_of_a_vertebra_are_averaged_and_replicas_left_out() -> None:
    table = vertebra_predictions(CROPS)
    assert table.schema == VERTEBRA_PREDICTIONS
    assert table.select("patient_id", "level", "label", "n_films", "predicted").rows() == [
        ("Pa", "L1", "fresh", 2, "fresh"),  # one view alone says normal
        ("Pa", "L2", "normal", 1, "normal"),
        ("Pb", "L4", "old", 1, "old"),
        ("Pb", "L5", "normal", 1, "normal"),
    ]
    assert table.select("p_normal", "p_old", "p_fresh").row(0) == pytest.approx((0.3, 0.1, 0.6))


def test_a_patient_is_fresh_if_any_vertebra_is() -> None:
    table = patient_predictions(vertebra_predictions(CROPS))
    assert table.schema == PATIENT_PREDICTIONS
    columns = ["patient_id", "n_vertebrae", "any_fresh", "predicted_any_fresh", "likeliest_level"]
    assert table.select(columns).rows() == [("Pa", 2, True, True, "L1"), ("Pb", 2, False, False, "L4")]
    assert table["highest_p_fresh"].to_list() == pytest.approx([0.6, 0.3])


def test_models_folds_and_protocols_are_kept_apart() -> None:
    other = CROPS.with_columns(protocol=pl.lit("thesis"), fold=pl.lit("2"))
    assert patient_predictions(vertebra_predictions(pl.concat([CROPS, other]))).height == 4


def test_no_predictions_give_no_rows() -> None:
    assert patient_predictions(vertebra_predictions(CROPS.clear())).is_empty()
