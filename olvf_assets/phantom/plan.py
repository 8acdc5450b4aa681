"""Who comes to a synthetic hospital, with which fractures and films: everything but pixels.

What lives here: the plan of a hospital, made in milliseconds from settings and seed. Numbers are met by quota, not by
chance (`dealing.py`). What does not: readings (`readers.py`), sheets and files (`hospital.py`), shape in space
(`spine.py`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS, Level, VertebraClass, View
from olvf_assets.phantom.dealing import Draft, Leading, draft_patients, levels_in_field
from olvf_assets.phantom.looks import Variant
from olvf_assets.phantom.settings import ExclusionReason, PhantomSettings, SyntheticInstitution
from olvf_assets.phantom.signs import Signs, draw_signs

FIRST_DAY, DAYS = dt.date(2014, 4, 1), 2500


@dataclass(frozen=True)
class VertebraPlan:
    """One lumbar vertebra of one patient: the reference standard and what can be seen of it."""

    level: Level
    label: VertebraClass
    pathological: bool
    signs: Signs


@dataclass(frozen=True)
class ConditionPlan:
    """Why a fracture (`scope` fracture) or one vertebra image (`scope` crop) cannot be used.

    Attributes:
        view: None means every film of the patient.
        height_ratio: height after over height before, where it was measured.
    """

    level: Level
    view: View | None
    scope: Literal["fracture", "crop"]
    condition: ExclusionReason
    height_ratio: float | None = None


@dataclass(frozen=True)
class FilmPlan:
    """One film. `stem` is the file's name without suffix, `levels` the lumbar vertebrae inside its field."""

    stem: str
    view: View
    detector: int
    monochrome1: bool
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class PatientPlan:
    """One patient. `leading` is the kind of patient, `seed` the root of everything about their body and films.

    With a `variant` of the lumbosacral junction levels are counted from the last rib, so everybody has L1 to L5.
    """

    patient_id: str
    leading: Leading
    sex: Literal["F", "M"]
    age_years: int
    film_date: dt.date
    onset_date: dt.date | None
    mri_date: dt.date
    vertebrae: tuple[VertebraPlan, ...]
    films: tuple[FilmPlan, ...]
    conditions: tuple[ConditionPlan, ...]
    reread: bool
    seed: int
    variant: Variant = "none"


def patient_prefix(key: str) -> str:
    """Return the synthetic hospital's patient number prefix: institution_2 -> PH2, anything else its initials."""
    tail = key.rsplit("_", 1)[-1]
    return f"PH{tail}" if tail.isdigit() else "PH" + "".join(word[0] for word in key.split("_")).upper()


def plan_hospital(key: str, settings: PhantomSettings, seed: int) -> tuple[PatientPlan, ...]:
    """Return the patients of one synthetic hospital, sorted by patient id. The same arguments give the same plan.

    Args:
        key: the institution, one of `settings.institutions`.
        settings: the study's phantom settings.
        seed: the study's seed.
    """
    site = settings.institutions[key]
    rng = np.random.default_rng(derive_seed(seed, "phantom", key, "plan"))
    drafts = draft_patients(site, rng)
    drafts = [drafts[index] for index in rng.permutation(len(drafts))]
    reread = set(rng.permutation(len(drafts))[: site.reread_patients].tolist())
    variants = _variants(site, len(drafts), derive_seed(seed, "phantom", key, "variants"))
    return tuple(
        _patient(
            key, settings, draft, number, number in reread, variants[number], derive_seed(seed, "phantom", key, number)
        )
        for number, draft in enumerate(drafts)
    )


def _variants(site: SyntheticInstitution, patients: int, seed: int) -> list[Variant]:
    """Return each patient's variant: those of a wide look get their share, each kind in turn."""
    kinds: tuple[Variant, ...] = ("transitional", "six_lumbar", "four_lumbar")
    count = 0 if site.look == "plain" else round(site.variant_share * patients)
    variants: list[Variant] = ["none"] * patients
    for turn, number in enumerate(np.random.default_rng(seed).permutation(patients)[:count].tolist()):
        variants[number] = kinds[turn % len(kinds)]
    return variants


def _patient(
    key: str, settings: PhantomSettings, draft: Draft, number: int, reread: bool, variant: Variant, seed: int
) -> PatientPlan:
    site = settings.institutions[key]
    rng = np.random.default_rng(derive_seed(seed, "patient"))
    patient_id = f"{patient_prefix(key)}-{number + 1:04d}"
    film_date = FIRST_DAY + dt.timedelta(days=int(rng.integers(DAYS)))
    days = draft.onset_to_film_days
    vertebrae = tuple(
        VertebraPlan(
            level,
            draft.label(level),
            level in draft.pathological,
            draw_signs(
                np.random.default_rng(derive_seed(seed, "signs", level)),
                draft.label(level),
                severe=draft.reason == "severe_crush" and level in draft.labels,
                strength=settings.sign_strength * site.sign_factor,
                overlap=settings.overlap * site.overlap_factor,
                osteophyte_share=site.osteophyte_share,
            ),
        )
        for level in LEVELS
    )
    films = tuple(
        FilmPlan(
            stem=f"{patient_id}-{index + 1}",
            view=view,
            detector=int(rng.integers(len(site.detectors))),
            monochrome1=bool(rng.random() < site.monochrome1_share),
            levels=levels_in_field(view),
        )
        for index, view in enumerate(draft.views)
    )
    return PatientPlan(
        patient_id=patient_id,
        leading=draft.leading,
        sex="F" if rng.random() < site.female_share else "M",
        age_years=draft.age_years,
        film_date=film_date,
        onset_date=None if days is None else film_date - dt.timedelta(days=days),
        mri_date=film_date + dt.timedelta(days=draft.mri_delay_days),
        vertebrae=vertebrae,
        films=films,
        conditions=_conditions(draft, vertebrae),
        reread=reread,
        seed=seed,
        variant=variant,
    )


def _conditions(draft: Draft, vertebrae: Sequence[VertebraPlan]) -> tuple[ConditionPlan, ...]:
    conditions: list[ConditionPlan] = []
    if draft.reason not in (None, "pathological"):
        for each in vertebrae:
            if each.label != "normal":
                ratio = round(1 - each.signs.loss, 2) if draft.reason == "severe_crush" else None
                conditions.append(ConditionPlan(each.level, None, "fracture", draft.reason, ratio))
    conditions += [
        ConditionPlan(level, view, "crop", "poor_positioning")
        for view in draft.views
        for level in LEVELS
        if level not in levels_in_field(view)
    ]
    conditions += [
        ConditionPlan(level, view, "crop", reason) for (view, level), reason in sorted(draft.dropped.items())
    ]
    return tuple(conditions)
