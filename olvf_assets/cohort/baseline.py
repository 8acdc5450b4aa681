"""Who is in the study (table `baseline_characteristics`), as STARD 2015 item 20 asks.

What lives here: counts, means and deviations by institution and patient group, and the one test the thesis made: that
fresh and old patients do not differ in mean age. It does not name the test; ours is Welch's t, which does not take the
groups' spreads as equal. What does not: who is left out (`participant_flow`), how the table is shown (`reporting`).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from olvf_assets.cohort.tables import BASELINE_CHARACTERISTICS
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS, VIEWS

GROUPS = ("fresh", "old", "all")
EARLY_DAYS = 14  # a film within two weeks of onset (thesis, section 3)
MEASURES = ("age_years", "onset_to_film_days", "mri_delay_days")
TESTED = {"age_years": "welch_t"}
PATIENT = ["institution", "patient_id"]


def baseline_characteristics(
    subjects: pl.DataFrame, cohort_vertebrae: pl.DataFrame, consensus_labels: pl.DataFrame, films: pl.DataFrame
) -> pl.DataFrame:
    """Return the characteristics of the patients with an image in the cohort.

    A patient's group is `fresh` with any fresh osteoporotic fracture, else `old` with an old one; `all` is everybody.
    Counts have `n` of `n_total` (patients, vertebrae, images or films of the group, as `unit` says); measures have
    `mean` and `sd` (n - 1) over the `n` of `n_total` patients whose value is known. `test` and `p_value` compare fresh
    with old and stand in `all`.

    Args:
        subjects: table `subjects`; of patients who are not in it age, sex and delays are not known.
        cohort_vertebrae: table `cohort_vertebrae`.
        consensus_labels: table `consensus_labels`.
        films: table `films`.

    Returns:
        Table `baseline_characteristics`. Ages above intake's cap count as the cap, and null sd or p_value means that
        there were too few patients.
    """
    osteoporotic = pl.col("label").filter(~pl.col("pathological"))
    group = (
        pl.when((osteoporotic == "fresh").any())
        .then(pl.lit("fresh"))
        .when((osteoporotic == "old").any())
        .then(pl.lit("old"))
        .otherwise(pl.lit("neither"))
    )
    grouped = (
        consensus_labels.join(cohort_vertebrae.select(PATIENT).unique(), on=PATIENT, how="semi")
        .group_by(PATIENT)
        .agg(group.alias("patient_group"))
    )
    tables = {
        "patients": grouped.join(subjects, on=PATIENT, how="left"),
        "vertebrae": consensus_labels.filter(~pl.col("pathological")).join(grouped, on=PATIENT),
        "images": cohort_vertebrae.join(grouped, on=PATIENT),
        "films": films.join(cohort_vertebrae, on=["institution", "film_id"], how="semi").join(grouped, on=PATIENT),
    }
    rows = [
        {"institution": institution, "patient_group": group, **row}
        for institution in sorted(grouped["institution"].unique())
        for group in GROUPS
        for row in _group_rows({name: _of(table, institution, group) for name, table in tables.items()}, group)
    ]
    return pl.DataFrame(rows, schema=BASELINE_CHARACTERISTICS)


def _of(table: pl.DataFrame, institution: str, group: str) -> pl.DataFrame:
    own = table.filter(pl.col("institution") == institution)
    return own if group == "all" else own.filter(pl.col("patient_group") == group)


def _group_rows(tables: dict[str, pl.DataFrame], group: str) -> Iterator[dict[str, Any]]:
    patients, vertebrae, images, films = (tables[name] for name in ("patients", "vertebrae", "images", "films"))
    yield from _counts("patients", "patient", patients.with_columns(all=pl.lit("all")), "all", ["all"])
    yield from _counts("sex", "patient", patients, "sex", ["F", "M"])
    for measure in MEASURES:
        yield _measure(measure, patients, tested=group == "all")
    known = patients.filter(pl.col("onset_to_film_days").is_not_null())
    early = (pl.col("onset_to_film_days") <= EARLY_DAYS).cast(pl.String)
    yield from _counts("film_within_14_days_of_onset", "patient", known.with_columns(early=early), "early", ["true"])
    for label in ("fresh", "old"):
        fractured = vertebrae.filter(pl.col("label") == label)
        yield from _counts(f"{label}_fractures", "vertebra", fractured, "level", LEVELS)
    for label in CLASSES:
        shown = images.filter(pl.col("label") == label)
        yield from _counts(f"{label}_images", "vertebra image", shown, "level", LEVELS)
    yield from _counts("view", "film", films, "view", VIEWS)
    named = films.with_columns(pl.col("detector").fill_null("not named"))
    yield from _counts("detector", "film", named, "detector", sorted(named["detector"].unique()))


def _counts(
    characteristic: str, unit: str, table: pl.DataFrame, column: str, categories: Sequence[str]
) -> Iterator[dict[str, Any]]:
    found = dict(table.group_by(column).len().iter_rows())
    for category in categories:
        yield {
            "characteristic": characteristic,
            "category": category,
            "unit": unit,
            "n": found.get(category, 0),
            "n_total": table.height,
        }


def _measure(name: str, patients: pl.DataFrame, *, tested: bool) -> dict[str, Any]:
    # Sorted and in one piece: a sum hangs on its order, to the last digit.
    known = patients.filter(pl.col(name).is_not_null()).sort(name).rechunk()
    values = known[name]
    row = {
        "characteristic": name,
        "category": "all",
        "unit": "patient",
        "n": known.height,
        "n_total": patients.height,
        "mean": values.mean(),
        "sd": values.std(),
    }
    if tested and name in TESTED:
        groups = [known.filter(pl.col("patient_group") == group)[name].to_numpy() for group in ("fresh", "old")]
        row |= {"test": TESTED[name], "p_value": _welch_p(*groups)}
    return row


def _welch_p(left: Any, right: Any) -> float | None:
    """Return the two-sided p of Welch's t-test, None where a group has fewer than two patients or no spread."""
    from scipy.stats import ttest_ind

    if min(len(left), len(right)) < 2:
        return None
    p = float(ttest_ind(left, right, equal_var=False).pvalue)
    return None if math.isnan(p) else p
