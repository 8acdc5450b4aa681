"""Which patients train and which test (table `patient_splits`), decided before anything is copied.

What lives here: the one random choice that detector and classifiers share: test patients, and five folds of the rest.
What does not: splits of crops or replicas (room `classification`), which follow the patient.

Every patient draws a lot of his own, a keyed hash of the study's seed, `cohort.split_lot`, his institution and his
pseudonym. Who else is in the study and what he is labelled have no part in it: when a patient is withdrawn, added or
labelled anew, nobody moves. The price is that shares are met on average only, and that a small cohort may draw a fold
without a class. That is an error which names the next `cohort.split_lot` that serves; it is never redrawn unasked.
"""

import polars as pl

from olvf_assets.cohort.settings import CohortSettings
from olvf_assets.cohort.tables import PATIENT_SPLITS
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES

PROTOCOL = "patient"
SEED_RANGE = 2**63  # `derive_seed` gives whole numbers below it
LOTS_TRIED = 200  # to name one that serves, after a drawing that lacks a class

Part = tuple[str, int | None]  # role and fold


class PatientSplitError(OlvfError):
    """The drawing does not give every fold and the test set a vertebra of each class, or there is nobody to split."""


def patient_splits(cohort_vertebrae: pl.DataFrame, settings: CohortSettings, seed: int) -> pl.DataFrame:
    """Split the patients of the development institutions, each by a lot of his own (`part_of`).

    Args:
        cohort_vertebrae: table `cohort_vertebrae`; rows of external institutions are ignored.
        settings: share of test patients, number of folds, and which drawing.
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
    labels = _labels_of_patients(development)
    parts = {patient: part_of(*patient, settings, seed) for patient in labels}
    lacking = _lacking(labels, parts, settings.folds)
    if lacking:
        raise PatientSplitError(_too_few(labels, parts, lacking, settings, seed))
    rows = [(PROTOCOL, *patient, role, fold) for patient, (role, fold) in sorted(parts.items())]
    return pl.DataFrame(rows, schema=PATIENT_SPLITS, orient="row")


def part_of(institution: str, patient_id: str, settings: CohortSettings, seed: int) -> Part:
    """Return role and fold of one patient: (`test`, None) in `settings.test_share` of cases, else (`train`, a fold)."""
    patient = (settings.split_lot, institution, patient_id)
    if derive_seed(seed, "patient_splits", "role", *patient) < settings.test_share * SEED_RANGE:
        return "test", None
    return "train", derive_seed(seed, "patient_splits", "fold", *patient) % settings.folds + 1


def _labels_of_patients(development: pl.DataFrame) -> dict[tuple[str, str], list[str]]:
    """Return the labels of the vertebra images of each (institution, patient), patients sorted."""
    patients = development.sort("institution", "patient_id", "label").group_by(
        "institution", "patient_id", maintain_order=True
    )
    return {(institution, patient): labels for institution, patient, labels in patients.agg("label").iter_rows()}


def _lacking(labels: dict[tuple[str, str], list[str]], parts: dict[tuple[str, str], Part], folds: int) -> list[str]:
    """Return in words which of the test set and the folds has no vertebra image of which class."""
    found = {(parts[patient], label) for patient, own in labels.items() for label in own}
    return [
        f"{_name(part)} has no {label}" for part in _all_parts(folds) for label in CLASSES if (part, label) not in found
    ]


def _all_parts(folds: int) -> list[Part]:
    return [("test", None), *(("train", fold) for fold in range(1, folds + 1))]


def _name(part: Part) -> str:
    return "test" if part[1] is None else f"fold {part[1]}"


def _too_few(
    labels: dict[tuple[str, str], list[str]],
    parts: dict[tuple[str, str], Part],
    lacking: list[str],
    settings: CohortSettings,
    seed: int,
) -> str:
    """Return the message: who lacks what, all counts, and the way out."""
    counts: dict[Part, dict[str, int]] = {part: dict.fromkeys(CLASSES, 0) for part in _all_parts(settings.folds)}
    for patient, own in labels.items():
        for label in own:
            counts[parts[patient]][label] += 1
    listed = "; ".join(
        f"{_name(part)}: " + ", ".join(f"{n} {label}" for label, n in of_part.items())
        for part, of_part in counts.items()
    )
    serves = _lot_that_serves(labels, settings, seed)
    way_out = (
        f"set cohort.split_lot to {serves} in the profile, the next drawing in which nothing lacks (all patients are "
        "drawn anew, and everything is trained again)"
        if serves is not None
        else f"none of the next {LOTS_TRIED} drawings (cohort.split_lot) serves: take in more patients, raise "
        "cohort.test_share or lower cohort.folds and classification.folds"
    )
    return (
        f"{len(labels)} development patients are too few for a test set and {settings.folds} folds with every class as "
        f"they were drawn: {', '.join(lacking)} (vertebra images: {listed}); {way_out}"
    )


def _lot_that_serves(labels: dict[tuple[str, str], list[str]], settings: CohortSettings, seed: int) -> int | None:
    """Return the next `split_lot` whose drawing lacks nothing, if one soon does."""
    for lot in range(settings.split_lot + 1, settings.split_lot + 1 + LOTS_TRIED):
        tried = settings.model_copy(update={"split_lot": lot})
        if not _lacking(labels, {patient: part_of(*patient, tried, seed) for patient in labels}, settings.folds):
            return lot
    return None
