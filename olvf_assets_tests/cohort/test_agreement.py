import math

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from olvf_assets.cohort.agreement import (
    landis_koch_band,
    patient_confusions,
    reader_agreement,
    reader_confusion,
    weighted_kappa,
)
from olvf_assets.cohort.settings import CohortSettings
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS
from olvf_assets.intake.tables import READER_LABELS

SETTINGS = CohortSettings(bootstrap_draws=500)

# Two dermatologists on 88 patients, four ordered grades: the worked example of SAS/STAT's PROC FREQ ("Skin Condition"),
# which prints weighted kappa 0.5082 with Cicchetti-Allison (linear) weights.
SKIN = np.array([[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]])


def readings(labels: dict[tuple[str, int], np.ndarray]) -> pl.DataFrame:
    """Return `reader_labels` of one institution from class indices (patients, 5) per (reader, reading)."""
    rows = [
        ("institution_1", f"P{patient:03d}", level, reader, reading, CLASSES[indices[patient, position]], False)
        for (reader, reading), indices in labels.items()
        for patient in range(len(indices))
        for position, level in enumerate(LEVELS)
    ]
    return pl.DataFrame(rows, schema=READER_LABELS, orient="row")


def two_readers(patients: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, p=[0.6, 0.25, 0.15], size=(patients, 5))
    other = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 3, truth.shape), truth)
    return truth, other


def kappas(table: pl.DataFrame, comparison: str, weighting: str) -> dict[str, float]:
    chosen = table.filter(comparison=comparison, weighting=weighting)
    return dict(chosen.select("level", "kappa").iter_rows())


def test_the_published_example_comes_out() -> None:
    assert weighted_kappa(SKIN, "linear") == pytest.approx(0.5082, abs=5e-5)


def test_two_classes_by_hand() -> None:
    # observed agreement 0.7, expected 0.5 (Cohen 1960's arithmetic); with two classes both weightings are plain kappa
    table = np.array([[20, 5], [10, 15]])
    assert weighted_kappa(table, "linear") == pytest.approx(0.4)
    assert weighted_kappa(table, "quadratic") == pytest.approx(0.4)


@pytest.mark.parametrize("weighting", ["linear", "quadratic"])
def test_kappa_agrees_with_scikit_learn_per_level_and_over_all(weighting: str) -> None:
    one, two = two_readers(60)
    found = kappas(reader_agreement(readings({("1", 1): one, ("2", 1): two}), SETTINGS, 1), "inter", weighting)
    for position, level in enumerate(LEVELS):
        expected = cohen_kappa_score(one[:, position], two[:, position], labels=[0, 1, 2], weights=weighting)
        assert found[level] == pytest.approx(expected)
    assert found["all"] == pytest.approx(cohen_kappa_score(one.ravel(), two.ravel(), weights=weighting))


def test_intra_compares_the_first_with_the_second_reading_of_the_same_reader() -> None:
    one, two = two_readers(30)
    again = two_readers(10, seed=8)[1]
    labels = readings({("1", 1): one, ("2", 1): two, ("1", 2): again, ("2", 2): two[:10]})
    table = reader_agreement(labels, SETTINGS, 1)
    expected = cohen_kappa_score(one[:10].ravel(), again.ravel(), labels=[0, 1, 2], weights="linear")
    assert kappas(table, "intra_reader_1", "linear")["all"] == pytest.approx(expected)
    assert kappas(table, "intra_reader_2", "quadratic")["all"] == pytest.approx(1.0)
    assert set(table.filter(comparison="intra_reader_1")["n_patients"]) == {10}
    assert table.filter(comparison="inter", level="all")["n_vertebrae"].unique().item() == 150


def test_the_interval_is_that_of_resampled_patients() -> None:
    one, two = two_readers(40)
    settings = CohortSettings(bootstrap_draws=4000)
    table = reader_agreement(readings({("1", 1): one, ("2", 1): two}), settings, 5)
    row = table.filter(comparison="inter", level="all", weighting="linear").row(0, named=True)
    rng = np.random.default_rng(11)
    draws = []
    for _ in range(800):
        chosen = rng.integers(0, 40, 40)
        draws.append(cohen_kappa_score(one[chosen].ravel(), two[chosen].ravel(), labels=[0, 1, 2], weights="linear"))
    assert row["ci_low"] == pytest.approx(np.percentile(draws, 2.5), abs=0.015)
    assert row["ci_high"] == pytest.approx(np.percentile(draws, 97.5), abs=0.015)


def test_the_interval_widens_when_a_patient_s_vertebrae_err_together() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, (60, 5))
    together = np.where(rng.random((60, 1)) < 0.3, (truth + 1) % 3, truth)
    flat = rng.permutation(np.column_stack([truth.ravel(), together.ravel()]))
    apart = readings({("1", 1): flat[:, 0].reshape(60, 5), ("2", 1): flat[:, 1].reshape(60, 5)})

    def width(labels: pl.DataFrame) -> float:
        row = reader_agreement(labels, SETTINGS, 1).filter(comparison="inter", level="all", weighting="linear")
        return row["ci_high"].item() - row["ci_low"].item()

    assert width(readings({("1", 1): truth, ("2", 1): together})) > 1.4 * width(apart)


def test_kappa_is_nan_where_nothing_was_read_twice_or_only_one_class_occurs() -> None:
    normal = np.zeros((6, 5), dtype=int)
    table = reader_agreement(readings({("1", 1): normal, ("2", 1): normal}), SETTINGS, 1)
    assert table.height == 3 * 6 * 2
    for column in ("kappa", "ci_low", "ci_high"):
        assert table[column].is_nan().all()
    assert table["band"].null_count() == table.height
    assert table.filter(comparison="intra_reader_1")["n_vertebrae"].sum() == 0


def test_consensus_rows_are_not_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = two_readers(10)
    with_consensus = readings({("1", 1): one, ("2", 1): two, ("consensus", 1): one})
    without = readings({("1", 1): one, ("2", 1): two})
    assert reader_agreement(with_consensus, SETTINGS, 1).equals(reader_agreement(without, SETTINGS, 1), null_equal=True)


def test_institutions_are_kept_apart_and_the_order_of_rows_does_not_matter() -> None:
    one, two = two_readers(12)
    first = readings({("1", 1): one, ("2", 1): two})
    second = readings({("1", 1): two, ("2", 1): two}).with_columns(institution=pl.lit("institution_2"))
    both = reader_agreement(pl.concat([second, first]).sample(fraction=1.0, shuffle=True, seed=3), SETTINGS, 1)
    alone = pl.concat([reader_agreement(each, SETTINGS, 1) for each in (first, second)])
    assert both.equals(alone, null_equal=True)


def test_confusions_count_per_patient_and_level() -> None:
    one, two = np.array([[0, 1, 2, 0, 0]]), np.array([[0, 1, 1, 2, 0]])
    counts = patient_confusions(readings({("1", 1): one, ("2", 1): two}), ("1", 1), ("2", 1))
    assert counts.shape == (1, 5, 3, 3)
    assert counts.sum(axis=(0, 1)).tolist() == [[2, 0, 1], [0, 1, 0], [0, 1, 0]]


def test_the_confusion_table_holds_all_pairs_of_classes_and_counts_vertebrae_and_patients() -> None:
    one, two = np.array([[0, 1, 2, 0, 0], [0, 2, 2, 0, 1]]), np.array([[0, 1, 1, 2, 0], [0, 1, 2, 0, 1]])
    table = reader_confusion(readings({("1", 1): one, ("2", 1): two}))
    assert table.height == 3 * 6 * 9
    everywhere = table.filter(comparison="inter", level="all")
    counts = {row[3:5]: row[5:] for row in everywhere.iter_rows()}
    assert counts["normal", "normal"] == (4, 2)
    assert counts["fresh", "old"] == (2, 2)
    assert counts["old", "old"] == (2, 2)
    assert counts["normal", "fresh"] == (1, 1)
    assert counts["old", "fresh"] == (0, 0)
    assert sum(n for n, _ in counts.values()) == 10
    l2 = table.filter(comparison="inter", level="L2", first_label="fresh", second_label="old")
    assert l2["n_vertebrae"].item() == 1
    assert table.filter(comparison="intra_reader_1")["n_vertebrae"].sum() == 0


@pytest.mark.parametrize(
    ("kappa", "band"),
    [
        (-0.1, "poor"), (0.0, "slight"), (0.20, "slight"), (0.21, "fair"), (0.40, "fair"), (0.60, "moderate"),
        (0.80, "substantial"), (0.801, "almost_perfect"), (1.0 + 1e-15, "almost_perfect"), (math.nan, None),
    ],
)  # fmt: skip
def test_bands_follow_landis_and_koch(kappa: float, band: str | None) -> None:
    assert landis_koch_band(kappa) == band
