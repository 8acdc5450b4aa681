"""Two simulated readers.

What lives here: what each reader wrote down for each vertebra, at the first and the second reading, and the consensus
where the first readings differ. How well they agree is met by quota: disagreements are added one by one, in the
patients who are hard to read, until weighted kappa has come down to what is set. Where two readers differ one of them
says what the reference standard of the plan is, and so does the consensus. What does not: the sheet's file
(`hospital.py`), kappa of a study's readings with its interval (room `cohort`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES, Level, VertebraClass
from olvf_assets.phantom.plan import PatientPlan
from olvf_assets.phantom.settings import ReaderAgreement

Reader = Literal["1", "2", "consensus"]
Change = tuple[np.ndarray, int, int, int]  # a reading, the patient's row, the level's column, the class it becomes
OVERCALLED_AS_OLD = 0.7  # of the normal vertebrae that are called fractured
CORRECTED = 0.5  # chance, at the second reading, to see the mistake of the first; beside the chances of new mistakes


@dataclass(frozen=True)
class Reading:
    """One row of `readers.csv`. `reading` is 1, or 2 for a vertebra read again more than a month later."""

    patient_id: str
    level: Level
    reader: Reader
    reading: Literal[1, 2]
    label: VertebraClass
    pathological: bool


def read_patients(patients: Sequence[PatientPlan], readers: ReaderAgreement) -> list[Reading]:
    """Return all readings, sorted by patient, level, reader and reading.

    Args:
        patients: the plan of one hospital.
        readers: how well the two agree.
    """
    if not patients:
        return []
    rng = np.random.default_rng(derive_seed(patients[0].seed, "readers"))
    truth = np.array([[CLASSES.index(vertebra.label) for vertebra in patient.vertebrae] for patient in patients])
    mistakes = _chances(readers)
    first = _first_readings(truth, mistakes, readers, rng)
    again = np.array([patient.reread for patient in patients])
    second = [
        _second_reading(truth[again], one[again], mistakes, kappa, rng)
        for one, kappa in zip(first, readers.kappa_intra, strict=True)
    ]
    row_again = np.cumsum(again) - 1
    rows: list[Reading] = []
    for number, patient in enumerate(patients):
        for position, vertebra in enumerate(patient.vertebrae):
            said: list[tuple[Reader, Literal[1, 2], int]] = []
            names: tuple[Reader, Reader] = ("1", "2")
            for name, one, two in zip(names, first, second, strict=True):
                said.append((name, 1, one[number, position]))
                if patient.reread:
                    said.append((name, 2, two[row_again[number], position]))
            if first[0][number, position] != first[1][number, position]:
                said.append(("consensus", 1, truth[number, position]))
            for name, reading, index in said:
                label = CLASSES[index]
                flagged = vertebra.pathological and label != "normal"
                rows.append(Reading(patient.patient_id, vertebra.level, name, reading, label, flagged))
    return rows


def linear_kappa(table: np.ndarray) -> float:
    """Return Cohen's kappa of a table of counts (k, k) with linear weights; 1 where no disagreement is possible."""
    classes = np.arange(len(table))
    weights = np.abs(np.subtract.outer(classes, classes))
    expected = table.sum(axis=1) @ weights @ table.sum(axis=0)
    return float(1 - (weights * table).sum() * table.sum() / expected) if expected else 1.0


def _chances(readers: ReaderAgreement) -> np.ndarray:
    """Return how often a reader calls each class (rows, as in CLASSES) something else (columns), relatively."""
    over, confused = readers.normal_as_fractured, readers.age_confused
    return np.array(
        [
            [0.0, over * OVERCALLED_AS_OLD, over * (1 - OVERCALLED_AS_OLD)],
            [readers.old_missed, 0.0, confused],
            [readers.fresh_missed, confused, 0.0],
        ]
    )


def _first_readings(
    truth: np.ndarray, mistakes: np.ndarray, readers: ReaderAgreement, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return both readers' first readings, class indices (patients, levels): a mistake per hard patient, then more."""
    one, two = truth.copy(), truth.copy()
    chances = mistakes[truth]
    hardness = chances.sum(axis=(1, 2))
    number = min(round(readers.consensus_share * len(truth)), int(np.count_nonzero(hardness)))
    untouched: set[int] = set()
    if number:
        untouched.update(rng.choice(len(truth), number, replace=False, p=hardness / hardness.sum()).tolist())
    chances[[patient not in untouched for patient in range(len(truth))]] = 0
    further = []
    for patient, level, said in _in_random_order(chances, rng):
        reading = one if rng.random() < 0.5 else two
        if patient in untouched:
            untouched.remove(patient)
            reading[patient, level] = said
        else:
            further.append((reading, patient, level, said))
    _lower_kappa(one, two, further, readers.kappa_inter)
    return one, two


def _second_reading(
    truth: np.ndarray, first: np.ndarray, mistakes: np.ndarray, kappa: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a reader's second reading: some first mistakes are corrected and some new ones made."""
    second = first.copy()
    chances = np.where((first == truth)[..., None], mistakes[truth], CORRECTED * np.eye(len(CLASSES))[truth])
    _lower_kappa(first, second, [(second, *where) for where in _in_random_order(chances, rng)], kappa)
    return second


def _in_random_order(chances: np.ndarray, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return all (patient, level, said) that have a chance, likelier ones earlier (Efraimidis and Spirakis 2006)."""
    where = np.argwhere(chances > 0)
    waiting = rng.exponential(size=len(where)) / chances[chances > 0]
    return [(int(patient), int(level), int(said)) for patient, level, said in where[np.argsort(waiting)]]


def _lower_kappa(left: np.ndarray, right: np.ndarray, changes: Sequence[Change], wanted: float) -> None:
    """Apply changes in their order, one a vertebra, until kappa of the two readings is as near `wanted` as it gets."""
    kappa = linear_kappa(_confusion(left, right))
    for reading, patient, level, said in changes:
        if kappa <= wanted:
            return
        if left[patient, level] != right[patient, level]:
            continue
        before = reading[patient, level]
        reading[patient, level] = said
        lower = linear_kappa(_confusion(left, right))
        if wanted - lower > kappa - wanted:
            reading[patient, level] = before
            return
        kappa = lower


def _confusion(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    k = len(CLASSES)
    return np.bincount((left * k + right).ravel(), minlength=k * k).reshape(k, k)
