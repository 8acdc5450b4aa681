"""Two simulated readers.

What lives here: what each reader wrote down for each vertebra, at the first and the second reading, and the consensus
where the first readings differ. The consensus is the reference standard of the plan; two readers never agree on
something else. What does not: the sheet's file (`hospital.py`), kappa (room `cohort`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import Level, VertebraClass
from olvf_assets.phantom.plan import PatientPlan
from olvf_assets.phantom.settings import ReaderErrors

Reader = Literal["1", "2", "consensus"]


@dataclass(frozen=True)
class Reading:
    """One row of `readers.csv`. `reading` is 1, or 2 for a vertebra read again more than a month later."""

    patient_id: str
    level: Level
    reader: Reader
    reading: Literal[1, 2]
    label: VertebraClass
    pathological: bool


def read_patients(patients: Sequence[PatientPlan], errors: tuple[ReaderErrors, ReaderErrors]) -> list[Reading]:
    """Return all readings, sorted by patient, level, reader and reading.

    Args:
        patients: the plan.
        errors: how often the first and the second reader err.
    """
    rows: list[Reading] = []
    for patient in patients:
        rng = np.random.default_rng(derive_seed(patient.seed, "readers"))
        for vertebra in patient.vertebrae:
            truth, level, flag = vertebra.label, vertebra.level, vertebra.pathological
            first = [read_once(rng, truth, each) for each in errors]
            if first[0] == first[1]:
                first[1] = truth  # a shared error would silently change the reference standard
                first[0] = truth if flag else first[0]
            second = [
                read_once(rng, truth, each) if rng.random() < each.reread else reading
                for reading, each in zip(first, errors, strict=True)
            ]
            readers: tuple[Reader, Reader] = ("1", "2")
            for reader, one, two in zip(readers, first, second, strict=True):
                rows.append(Reading(patient.patient_id, level, reader, 1, one, flag and one != "normal"))
                if patient.reread:
                    rows.append(Reading(patient.patient_id, level, reader, 2, two, flag and two != "normal"))
            if first[0] != first[1]:
                rows.append(Reading(patient.patient_id, level, "consensus", 1, truth, flag))
    return rows


def read_once(rng: np.random.Generator, truth: VertebraClass, errors: ReaderErrors) -> VertebraClass:
    """Return what one reader calls a vertebra whose reference standard is `truth`."""
    chance = rng.random()
    if truth == "normal":
        if chance >= errors.normal_as_fractured:
            return "normal"
        return "old" if chance < 0.7 * errors.normal_as_fractured else "fresh"
    missed = errors.fresh_missed if truth == "fresh" else errors.old_missed
    if chance < missed:
        return "normal"
    if chance < missed + errors.age_confused:
        return "old" if truth == "fresh" else "fresh"
    return truth
