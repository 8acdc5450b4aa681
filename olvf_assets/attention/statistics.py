"""Which sections the network looks at differently, depending on what it says.

What lives here: table `gradcam_statistics`, tested for all sections at once: Kruskal-Wallis over the three predicted
classes, Steel-Dwass between pairs, corrections over the sections, and which verdicts differ between the red channel and
the raw map. What does not: means (`section_means.py`), boundaries between areas (`boundaries.py`), pictures.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from olvf_assets.attention.grid import SECTIONS
from olvf_assets.attention.tables import COMPARISONS, GRADCAM_STATISTICS, PAIRS, UNITS
from olvf_assets.foundation.vocabulary import CLASSES

FEWEST = 2  # of values, for a class to be tested
KEYS = ["protocol", "unit", "source", "section"]

Columns = dict[str, np.ndarray | list[str | None] | int]


def gradcam_statistics(grids: pl.DataFrame, significance: float = 0.05) -> pl.DataFrame:
    """Return table `gradcam_statistics`: per protocol, unit, source and section one row per comparison.

    `unit` says what counts as one observation. With `image`, the thesis's way, every image does, replicas included
    where `attention.replicas` is on; but the crops of one patient are not independent of each other, let alone the
    replicas of one crop, so these p-values are too small. With `patient` a patient counts once per predicted class,
    with the mean of its images of that class; only that a patient may appear in two classes is then left unregarded.

    `higher_class` is the class of a pair whose values rank higher, null unless the pair's p is below `significance`; it
    is always null for Kruskal-Wallis, which says that the classes differ, not which one stands out. `verdict_flips` is
    true where the other source leads to another verdict: another `higher_class` or none, or, for Kruskal-Wallis, a p on
    the other side of `significance`. `p_holm` and `p_benjamini_hochberg` are `p_value` adjusted over the sections that
    were tested in that comparison.

    Args:
        grids: table `gradcam_grids`; images are grouped by predicted class, as in the thesis.
        significance: the level below which a difference counts.

    Returns:
        Statistics and p-values are NaN, with the reason, where a class has fewer than two values (of three classes,
        Kruskal-Wallis and Steel-Dwass go on with the two that remain), and where all values are equal.
    """
    tables = [pl.DataFrame(schema=GRADCAM_STATISTICS)]
    images = grids.sort("protocol", "source", "patient_id", "predicted", "sample_id", "section")
    patients = images.group_by("protocol", "source", "patient_id", "predicted", "section", maintain_order=True)
    values_of = {"image": images, "patient": patients.agg(pl.col("value").mean())}
    for unit in UNITS:
        for (protocol, source), part in values_of[unit].group_by("protocol", "source", maintain_order=True):
            groups: dict[str, np.ndarray] = {
                name: part.filter(pl.col("predicted") == name)["value"].to_numpy().reshape(-1, SECTIONS)
                for name in CLASSES
            }
            for comparison, columns in compare(groups, significance).items():
                table = pl.DataFrame({"section": np.arange(1, SECTIONS + 1), **columns}).with_columns(
                    protocol=pl.lit(protocol),
                    unit=pl.lit(unit),
                    source=pl.lit(source),
                    comparison=pl.lit(comparison),
                    verdict_flips=pl.lit(None, pl.Boolean),
                )
                tables.append(table.select(list(GRADCAM_STATISTICS)).cast(GRADCAM_STATISTICS))
    table = _with_flips(pl.concat(tables), significance)
    return table.sort("protocol", "unit", "source", "section", pl.col("comparison").cast(pl.Enum(COMPARISONS)))


def compare(groups: Mapping[str, np.ndarray], significance: float) -> dict[str, Columns]:
    """Return, per comparison, the columns of `gradcam_statistics` that come from the values alone.

    Args:
        groups: for each class, its values: float64, shape (values of this class, sections).
        significance: the level of `higher_class`.
    """
    from scipy.stats import studentized_range

    tested = [name for name, values in groups.items() if len(values) >= FEWEST]
    left_out = [f"{name}: {len(values)}" for name, values in groups.items() if len(values) < FEWEST]
    why = f"fewer than {FEWEST} values ({', '.join(left_out)})" if left_out else None
    statistic, p_value, effect = kruskal_wallis([groups[name] for name in tested])
    results: dict[str, Columns] = {
        "kruskal_wallis": {
            **_columns(statistic, p_value, effect, why),
            "n_units": sum(len(groups[name]) for name in tested),
            "higher_class": [None] * len(statistic),
        }
    }
    for first, second in PAIRS:
        both = {first, second} <= set(tested)
        statistic, effect = rank_statistic(groups[first], groups[second])
        p_value = studentized_range.sf(np.abs(statistic), len(tested), np.inf) if both else statistic
        higher: list[str | None] = [
            None if not p < significance else first if value > 0 else second
            for value, p in zip(statistic, p_value, strict=True)
        ]
        results[f"{first}_{second}"] = {
            **_columns(statistic, p_value, effect, None if both else why),
            "n_units": len(groups[first]) + len(groups[second]),
            "higher_class": higher,
        }
    return results


def kruskal_wallis(groups: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (H, p, epsilon squared) of each section, each float64 (sections,).

    Epsilon squared is H / (n - 1): 0 if the classes rank alike, 1 if they explain every rank (Kelley 1935; Tomczak and
    Tomczak 2014). NaN with fewer than two groups, or where all values are equal.

    Args:
        groups: the values of each group, float64 (values, sections).
    """
    from scipy.stats import kruskal

    sections = groups[0].shape[1] if groups else SECTIONS
    statistic, p_value = np.full(sections, np.nan), np.full(sections, np.nan)
    if len(groups) < 2:
        return statistic, p_value, statistic
    differ = np.ptp(np.concatenate(groups), axis=0) > 0
    if differ.any():
        result = kruskal(*(group[:, differ] for group in groups), axis=0)
        statistic[differ], p_value[differ] = result.statistic, result.pvalue
    return statistic, p_value, statistic / (sum(map(len, groups)) - 1)


def rank_statistic(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Steel-Dwass statistic and Cliff's delta of each section, each float64 (sections,).

    The statistic is the Dwass-Steel-Critchlow-Fligner one: square root of 2 times the standardised rank sum of the
    first class among the pair's values (ties corrected), positive where the first class ranks higher. Its p comes from
    the studentised range of as many groups as have two values, with infinite degrees of freedom: the p-values of
    `scikit_posthocs.posthoc_dscf`, against which this is tested; that one returns no statistic and takes one section.

    Cliff's delta, here the same as the rank-biserial correlation, is the share of pairs in which the first class has
    the higher value less the share in which it has the lower one: -1 to 1. NaN with fewer than two values in a class,
    or where all are equal.

    Args:
        first: values of the first class, float64 (values, sections).
        second: values of the second class, likewise.
    """
    from scipy.stats import rankdata

    n, m = len(first), len(second)
    if min(n, m) < FEWEST:
        return np.full(first.shape[1], np.nan), np.full(first.shape[1], np.nan)
    ranks = rankdata(np.concatenate([first, second]), axis=0)
    surplus = ranks[:n].sum(axis=0) - n * (n + m + 1) / 2
    variance = n * m / (n + m) * ranks.var(axis=0, ddof=1)  # the variance of the ranks is what ties leave of it
    surplus[variance == 0] = np.nan
    variance[variance == 0] = np.nan
    return np.sqrt(2) * surplus / np.sqrt(variance), 2 * surplus / (n * m)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values adjusted after Holm 1979: float64, same shape (tests,) and order.

    As statsmodels' `multipletests`, against which this is tested; that one collects all garbage at every call, which
    took nine tenths of the time of the whole table.
    """
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(adjusted, 1)


def _columns(statistic: np.ndarray, p_value: np.ndarray, effect: np.ndarray, why: str | None) -> Columns:
    from scipy.stats import false_discovery_control

    tested = np.isfinite(p_value)
    p_holm, p_benjamini_hochberg = np.full(len(p_value), np.nan), np.full(len(p_value), np.nan)
    p_holm[tested] = holm(p_value[tested])
    p_benjamini_hochberg[tested] = false_discovery_control(p_value[tested], method="bh")
    return {
        "statistic": statistic,
        "p_value": p_value,
        "effect_size": effect,
        "p_holm": p_holm,
        "p_benjamini_hochberg": p_benjamini_hochberg,
        "reason": [why or (None if done else "all values are equal") for done in tested],
    }


def _with_flips(table: pl.DataFrame, significance: float) -> pl.DataFrame:
    """Fill `verdict_flips` from the row of the other source; null where one of the two was not tested."""
    below = pl.when(pl.col("p_value") < significance).then(pl.lit("significant")).otherwise(pl.lit("none"))
    pair_verdict = pl.col("higher_class").fill_null("none")
    verdicts = table.select(
        *KEYS,
        "comparison",
        verdict=pl.when(pl.col("p_value").is_not_nan()).then(
            pl.when(pl.col("comparison") == "kruskal_wallis").then(below).otherwise(pair_verdict)
        ),
    )
    same_place = ["protocol", "unit", "section", "comparison"]
    both = verdicts.join(verdicts, on=same_place, suffix="_other").filter(pl.col("source") != pl.col("source_other"))
    flips = both.select(*KEYS, "comparison", flips=pl.col("verdict") != pl.col("verdict_other"))
    joined = table.join(flips, on=[*KEYS, "comparison"], how="left")
    return joined.with_columns(verdict_flips=pl.col("flips")).select(list(GRADCAM_STATISTICS))
