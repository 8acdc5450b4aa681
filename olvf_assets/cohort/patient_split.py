"""Which patients train and which test (table `patient_splits`), decided before anything is copied.

What lives here: the one random choice that detector and classifiers share: test patients, and five folds of the rest.
What does not: splits of crops or replicas (room `classification`), which follow the patient.
"""

import math

import numpy as np
import polars as pl

from olvf_assets.cohort.settings import CohortSettings
from olvf_assets.cohort.tables import PATIENT_SPLITS
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES

PROTOCOL = "patient"
# A patient counts for the rarest class among the vertebrae: a fresh fracture before an old one before none.
RAREST_FIRST = ("fresh", "old", "normal")


class PatientSplitError(OlvfError):
    """The cohort is too small to give every fold and the test set a vertebra of each class."""


def patient_splits(cohort_vertebrae: pl.DataFrame, settings: CohortSettings, seed: int) -> pl.DataFrame:
    """Split the patients of the development institutions.

    Patients are shuffled within strata (institution and rarest class), so that the test set holds `test_share` of each
    and the folds differ by at most one patient of each.

    Args:
        cohort_vertebrae: table `cohort_vertebrae`; rows of external institutions are ignored.
        settings: share of test patients and number of folds.
        seed: the profile's seed.

    Returns:
        Table `patient_splits`, one row per development patient, sorted by institution and patient: `role` is `test`
        (fold null) or `train` (fold 1 .. `settings.folds`, the fold in which the patient validates).

    Raises:
        PatientSplitError: no development patient, or the test set or a fold lacks a class.
    """
    development = cohort_vertebrae.filter(pl.col("role") == "development")
    if development.is_empty():
        raise PatientSplitError(
            'no vertebra of a development institution is in the cohort; give one institution role = "development" in '
            "its institution.toml, or look at the table exclusions for what was left out"
        )
    splits = pl.DataFrame(_allotted(_strata(development), settings, seed), schema=PATIENT_SPLITS)
    _require_all_classes(splits, development, settings.folds)
    return splits.sort("institution", "patient_id")


def _strata(development: pl.DataFrame) -> dict[tuple[str, str], list[str]]:
    """Return the sorted patients of each (institution, rarest class), strata sorted too."""
    rank = pl.col("label").replace_strict(list(RAREST_FIRST), list(range(len(RAREST_FIRST))), return_dtype=pl.Int64)
    patients = development.group_by("institution", "patient_id").agg(rank.min().alias("rank"))
    strata: dict[tuple[str, str], list[str]] = {}
    for institution, patient_id, position in patients.sort("institution", "rank", "patient_id").iter_rows():
        strata.setdefault((institution, RAREST_FIRST[position]), []).append(patient_id)
    return strata


def _allotted(strata: dict[tuple[str, str], list[str]], settings: CohortSettings, seed: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    n_trained = 0
    for (institution, rarest), patients in strata.items():
        rng = np.random.default_rng(derive_seed(seed, "patient_splits", institution, rarest))
        shuffled = [patients[position] for position in rng.permutation(len(patients))]
        n_test = math.floor(settings.test_share * len(patients) + 0.5)
        for position, patient_id in enumerate(shuffled):
            row: dict[str, object] = {"protocol": PROTOCOL, "institution": institution, "patient_id": patient_id}
            if position < n_test:
                rows.append(row | {"role": "test", "fold": None})
                continue
            # Folds are dealt in turn across strata, so that leftovers do not all fall on fold 1.
            rows.append(row | {"role": "train", "fold": n_trained % settings.folds + 1})
            n_trained += 1
    return rows


def _require_all_classes(splits: pl.DataFrame, development: pl.DataFrame, folds: int) -> None:
    """Raise `PatientSplitError` unless the test set and every fold hold a vertebra image of each class."""
    part = pl.when(pl.col("role") == "test").then(pl.lit("test")).otherwise(pl.format("fold {}", pl.col("fold")))
    images = development.select("institution", "patient_id", "label").join(
        splits.select("institution", "patient_id", part.alias("part")), on=["institution", "patient_id"]
    )
    counts = {(name, label): n for name, label, n in images.group_by("part", "label").len().iter_rows()}
    parts = ["test", *(f"fold {fold}" for fold in range(1, folds + 1))]
    lacking = [f"{name} has no {label}" for name in parts for label in CLASSES if not counts.get((name, label))]
    if lacking:
        listed = "; ".join(
            f"{name}: " + ", ".join(f"{counts.get((name, label), 0)} {label}" for label in CLASSES) for name in parts
        )
        raise PatientSplitError(
            f"{splits.height} development patients are too few for a test set and {folds} folds with every class: "
            f"{', '.join(lacking)} (vertebra images: {listed}); take in more patients, raise cohort.test_share or "
            "change the seed in the profile"
        )
