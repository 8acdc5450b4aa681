"""How well two readers agree with each other and with themselves (tables `reader_agreement`, `reader_confusion`).

What lives here: weighted kappa, its patient-level bootstrap interval and the Landis-Koch band, and the counts behind
them. What does not: the reference standard (SQL model `consensus_labels`), what is still open (`consensus_queue`).

Weighted kappa after Cohen 1968 (doi 10.1037/h0026256), as R's `irr::kappa2`: with observed shares p and the shares e
expected from the margins, kappa = 1 - sum(w p) / sum(w e), w the disagreement weight of a pair of classes i, j of k:
|i - j| / (k - 1) (linear) or its square (quadratic). The thesis does not say which it used, so both are given.
"""

from typing import Literal

import numpy as np
import polars as pl

from olvf_assets.cohort.settings import CohortSettings
from olvf_assets.cohort.tables import READER_AGREEMENT, READER_CONFUSION
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS

Weighting = Literal["linear", "quadratic"]
WEIGHTINGS: tuple[Weighting, ...] = ("linear", "quadratic")

# comparison -> the two (reader, reading) pairs that are compared
COMPARISONS = {
    "inter": (("1", 1), ("2", 1)),
    "intra_reader_1": (("1", 1), ("1", 2)),
    "intra_reader_2": (("2", 1), ("2", 2)),
}
ALL_LEVELS = (*LEVELS, "all")
# Upper bounds, inclusive (Landis and Koch 1977, doi 10.2307/2529310); below 0 is poor.
BANDS = (
    (0.20, "slight"),
    (0.40, "fair"),
    (0.60, "moderate"),
    (0.80, "substantial"),
    (1.0, "almost_perfect"),
)
# Below this share of draws with a defined kappa the interval would describe the exceptions only.
DEFINED_DRAWS = 0.5
# Kappa is a ratio of sums; perfect agreement may come out a rounding error above 1.
ROUNDING = 1e-12


def reader_agreement(reader_labels: pl.DataFrame, settings: CohortSettings, seed: int) -> pl.DataFrame:
    """Return weighted kappas with bootstrap intervals, per institution, comparison, level and weighting.

    Args:
        reader_labels: table `reader_labels`. Consensus rows are not used.
        settings: number of draws and confidence of the interval.
        seed: the profile's seed.

    Returns:
        Table `reader_agreement`: every comparison and level is present. `kappa`, `ci_low`, `ci_high` are NaN and `band`
        null where kappa is not defined: no vertebra read twice, or both readings all of one class. Intervals are
        percentiles over resampled patients, because the five vertebrae of a patient are not independent.
    """
    rows = []
    for institution in sorted(reader_labels["institution"].unique()):
        of_institution = reader_labels.filter(pl.col("institution") == institution)
        for comparison, (left, right) in COMPARISONS.items():
            counts = patient_confusions(of_institution, left, right)
            rng = np.random.default_rng(derive_seed(seed, "reader_agreement", institution, comparison))
            rows += [
                {"institution": institution, "comparison": comparison, **figures}
                for figures in _figures(counts, settings, rng)
            ]
    return pl.DataFrame(rows, schema=READER_AGREEMENT)


def reader_confusion(reader_labels: pl.DataFrame) -> pl.DataFrame:
    """Return how often one reading said one class and the other another, per institution, comparison and level.

    Args:
        reader_labels: table `reader_labels`. Consensus rows are not used.

    Returns:
        Table `reader_confusion`: all nine pairs of classes of every comparison and level, those that never occur too.
        `first_label` is reader 1's (`inter`) or the first reading's, `second_label` reader 2's or the second reading's.
    """
    rows = []
    for institution in sorted(reader_labels["institution"].unique()):
        of_institution = reader_labels.filter(pl.col("institution") == institution)
        for comparison, (left, right) in COMPARISONS.items():
            tables = _with_all_levels(patient_confusions(of_institution, left, right))
            vertebrae, patients = tables.sum(axis=0), (tables > 0).sum(axis=0)
            rows += [
                (institution, comparison, level, first, second, vertebrae[k, i, j], patients[k, i, j])
                for k, level in enumerate(ALL_LEVELS)
                for i, first in enumerate(CLASSES)
                for j, second in enumerate(CLASSES)
            ]
    return pl.DataFrame(rows, schema=READER_CONFUSION, orient="row")


def patient_confusions(labels: pl.DataFrame, left: tuple[str, int], right: tuple[str, int]) -> np.ndarray:
    """Count, per patient and level, what one reading said against another.

    Args:
        labels: rows of `reader_labels` of one institution.
        left: (reader, reading) of the rows of the confusion table.
        right: (reader, reading) of its columns.

    Returns:
        int64 array (patients, levels, 3, 3), only patients with at least one vertebra in both readings, sorted.
    """
    keys = ["patient_id", "level"]
    one = _reading(labels, left).select(*keys, left="label")
    two = _reading(labels, right).select(*keys, right="label")
    pairs = one.join(two, on=keys, how="inner")
    patients = sorted(pairs["patient_id"].unique())
    counts = np.zeros((len(patients), len(LEVELS), len(CLASSES), len(CLASSES)), dtype=np.int64)
    where = (
        _positions(pairs["patient_id"], patients),
        _positions(pairs["level"], LEVELS),
        _positions(pairs["left"], CLASSES),
        _positions(pairs["right"], CLASSES),
    )
    np.add.at(counts, where, 1)
    return counts


def weighted_kappa(confusions: np.ndarray, weighting: Weighting) -> np.ndarray:
    """Return the weighted kappa of each confusion table.

    Args:
        confusions: counts, shape (..., k, k).
        weighting: `linear` or `quadratic` in the distance of the classes.

    Returns:
        float64 array of shape (...); NaN where the expected disagreement is zero.
    """
    counts = np.asarray(confusions, dtype=np.float64)
    k = counts.shape[-1]
    distance = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) / (k - 1)
    weights = distance if weighting == "linear" else distance**2
    total = counts.sum(axis=(-2, -1))
    observed = (weights * counts).sum(axis=(-2, -1)) * total
    expected = np.einsum("...i,ij,...j->...", counts.sum(axis=-1), weights, counts.sum(axis=-2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1.0 - observed / expected, np.nan)


def landis_koch_band(kappa: float) -> str | None:
    """Return the Landis-Koch word for a kappa, None for NaN."""
    if np.isnan(kappa):
        return None
    return "poor" if kappa < 0 else next(word for bound, word in BANDS if kappa <= bound + ROUNDING)


def _figures(counts: np.ndarray, settings: CohortSettings, rng: np.random.Generator) -> list[dict[str, object]]:
    """Return kappa, interval and band for each level, all levels together, and both weightings."""
    patients = counts.shape[0]
    observed = _with_all_levels(counts.sum(axis=0, keepdims=True))[0]
    draws = _bootstrap_confusions(counts, settings.bootstrap_draws, rng)
    tail = 100.0 * (1.0 - settings.confidence) / 2.0
    figures: list[dict[str, object]] = []
    for position, level in enumerate(ALL_LEVELS):
        table = observed[position]
        for weighting in WEIGHTINGS:
            kappa = float(weighted_kappa(table, weighting))
            low, high = _interval(weighted_kappa(draws[:, position], weighting), kappa, tail)
            figures.append(
                {
                    "level": level,
                    "weighting": weighting,
                    "kappa": kappa,
                    "ci_low": low,
                    "ci_high": high,
                    "band": landis_koch_band(kappa),
                    "n_patients": patients,
                    "n_vertebrae": int(table.sum()),
                }
            )
    return figures


def _bootstrap_confusions(counts: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the confusion tables of `draws` samples of patients with replacement, shape (draws, 6, k, k).

    How often each patient is drawn is multinomial, so all samples are one matrix product.
    """
    patients, levels, k, _ = counts.shape
    if patients == 0:
        return np.zeros((draws, levels + 1, k, k))
    times_drawn = rng.multinomial(patients, np.full(patients, 1.0 / patients), size=draws)
    tables = times_drawn.astype(np.float64) @ counts.reshape(patients, -1).astype(np.float64)
    return _with_all_levels(tables.reshape(draws, levels, k, k))


def _with_all_levels(tables: np.ndarray) -> np.ndarray:
    """Append the sum over levels: (n, levels, k, k) -> (n, levels + 1, k, k)."""
    return np.concatenate([tables, tables.sum(axis=1, keepdims=True)], axis=1)


def _interval(draws: np.ndarray, kappa: float, tail_percent: float) -> tuple[float, float]:
    defined = draws[~np.isnan(draws)]
    if np.isnan(kappa) or defined.size < DEFINED_DRAWS * draws.size:
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [tail_percent, 100.0 - tail_percent])
    return float(low), float(high)


def _reading(labels: pl.DataFrame, who: tuple[str, int]) -> pl.DataFrame:
    reader, reading = who
    return labels.filter((pl.col("reader") == reader) & (pl.col("reading") == reading))


def _positions(values: pl.Series, order: list[str] | tuple[str, ...]) -> np.ndarray:
    position = {value: index for index, value in enumerate(order)}
    return np.array([position[value] for value in values], dtype=np.intp)
