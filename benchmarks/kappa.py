"""Weighted kappas with bootstrap intervals of the full cohort, against a loop over scikit-learn's `cohen_kappa_score`.

Both resample patients and give every level, all levels together and both weightings, for the readings of the profile
`thesis`. The loop is timed over a few draws and scaled, as its time grows with their number; `--quick` times fewer.
"""

import argparse
import json
import time

import numpy as np
import polars as pl
from sklearn.metrics import cohen_kappa_score

from olvf_assets.cohort.agreement import COMPARISONS, WEIGHTINGS, reader_agreement
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS
from olvf_assets.phantom.plan import plan_hospital
from olvf_assets.phantom.readers import read_patients
from olvf_assets.profiles import load_profile


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="time the loop over 3 draws instead of 20")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    profile = load_profile("thesis")
    labels = thesis_readings()
    start = time.perf_counter()
    reader_agreement(labels, profile.cohort, profile.seed)
    ours_s = time.perf_counter() - start
    draws = 3 if asked.quick else 20
    start = time.perf_counter()
    loop(labels, draws)
    loop_s = (time.perf_counter() - start) * profile.cohort.bootstrap_draws / draws
    figures = {
        "draws": profile.cohort.bootstrap_draws,
        "reader_agreement_s": round(ours_s, 2),
        "scikit_learn_loop_s_scaled": round(loop_s, 1),
        "scikit_learn_loop_over_ours": round(loop_s / ours_s, 1),
    }
    for name, value in figures.items():
        print(f"{name:<32}{value:>12}")
    if asked.json:
        print(json.dumps(figures))


def thesis_readings() -> pl.DataFrame:
    """Return `reader_labels` of the thesis's Institution 1."""
    profile = load_profile("thesis")
    patients = plan_hospital("institution_1", profile.phantom, profile.seed)
    readings = read_patients(patients, profile.phantom.institutions["institution_1"].readers)
    return pl.DataFrame(readings).with_columns(institution=pl.lit("institution_1"))


def loop(labels: pl.DataFrame, draws: int) -> list[float]:
    """Return the kappas of `draws` samples of patients, made one call of scikit-learn after the other."""
    rng = np.random.default_rng(0)
    kappas = []
    for left, right in COMPARISONS.values():
        one, two = (classes(labels, *who) for who in (left, right))
        pairs = [(one[patient], two[patient]) for patient in sorted(one.keys() & two.keys())]
        both = np.array(pairs)  # (patients, 2, levels)
        for _ in range(draws):
            drawn = both[rng.integers(0, len(both), len(both))]
            for part in (*(drawn[:, :, [level]] for level in range(len(LEVELS))), drawn):
                kappas += [
                    cohen_kappa_score(
                        part[:, 0].ravel(), part[:, 1].ravel(), labels=range(len(CLASSES)), weights=weighting
                    )
                    for weighting in WEIGHTINGS
                ]
    return kappas


def classes(labels: pl.DataFrame, reader: str, reading: int) -> dict[str, list[int]]:
    """Return the class indices of L1 to L5 by patient, as one reading gives them."""
    rows = labels.filter(pl.col("reader") == reader, pl.col("reading") == reading).sort("patient_id", "level")
    return {
        key[0]: [CLASSES.index(label) for label in part["label"]]
        for key, part in rows.partition_by("patient_id", as_dict=True).items()
    }


if __name__ == "__main__":
    main()
