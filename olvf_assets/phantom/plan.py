"""Who comes to a synthetic hospital, with which fractures and films: everything but pixels.

What lives here: the plan of a hospital, made in milliseconds from settings and seed. Numbers are met by quota, not by
chance: shares are turned into whole counts, shuffled and dealt. What does not: readings (`readers.py`), sheets and
files (`hospital.py`), shape in space (`spine.py`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS, Level, VertebraClass, View
from olvf_assets.phantom.settings import ExclusionReason, PhantomSettings, SyntheticInstitution
from olvf_assets.phantom.signs import Signs, draw_signs

Leading = Literal["normal", "fresh", "old"]
Key = TypeVar("Key")
FIRST_DAY, DAYS = dt.date(2014, 4, 1), 2500
THORACIC_LEVELS: tuple[Level, ...] = ("L1", "L2", "L3")
CROP_REASONS: dict[ExclusionReason, float] = {
    "poor_positioning": 0.4,
    "poor_image_quality": 0.35,
    "foreign_substance": 0.25,
}
FRACTURE_RELATED: tuple[ExclusionReason, ...] = ("severe_crush", "pathological", "onset_unknown")


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
    """One patient. `leading` is the kind of patient, `seed` the root of everything about their body and films."""

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


@dataclass
class _Draft:
    leading: Leading
    reason: ExclusionReason | None
    labels: dict[Level, VertebraClass]
    pathological: set[Level]
    severe: set[Level]
    views: list[View]


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
    drafts = _drafts(site, rng)
    _deal_views(site, drafts, rng)
    order = rng.permutation(len(drafts))
    drafts = [drafts[index] for index in order]
    kept = [number for number, draft in enumerate(drafts) if draft.reason is None]
    reread = set(rng.permutation(len(drafts))[: site.reread_patients].tolist())
    patients = [
        _patient(key, settings, draft, number, number in reread, derive_seed(seed, "phantom", key, number))
        for number, draft in enumerate(drafts)
    ]
    _drop_crops(site, patients, [number for number in kept if drafts[number].leading != "normal"], rng)
    return tuple(patients)


def quota(weights: Mapping[Key, float], total: int) -> list[Key]:
    """Return `total` keys in proportion to their weights (largest remainder), in the mapping's order."""
    share = {key: weight * total / sum(weights.values()) for key, weight in weights.items()}
    counts = {key: int(value) for key, value in share.items()}
    by_remainder = sorted(share, key=lambda key: counts[key] - share[key])
    for key in by_remainder[: total - sum(counts.values())]:
        counts[key] += 1
    return [key for key, count in counts.items() for _ in range(count)]


def _drafts(site: SyntheticInstitution, rng: np.random.Generator) -> list[_Draft]:
    def people(leading: Leading, count: int, reason: ExclusionReason | None = None) -> list[_Draft]:
        return [_Draft(leading, reason, {}, set(), set(), ["neutral"]) for _ in range(count)]

    normal = people("normal", site.patients_normal)
    fresh, old = people("fresh", site.patients_fresh), people("old", site.patients_old)
    out_fresh = [one for reason, count in site.excluded_fresh.items() for one in people("fresh", count, reason)]
    out_old = [one for reason, count in site.excluded_old.items() for one in people("old", count, reason)]
    _deal_fractures(fresh, "fresh", site.fresh_per_fresh_patient, site.fresh_levels, rng)
    _deal_fractures(old, "old", site.old_per_old_patient, site.old_levels, rng)
    _deal_fractures(fresh, "old", site.old_per_fresh_patient, site.old_levels, rng, first=False)
    _deal_fractures(out_fresh, "fresh", 1, site.fresh_levels, rng)
    _deal_fractures(out_old, "old", 1, site.old_levels, rng)
    for draft in out_fresh + out_old:
        draft.severe = set(draft.labels) if draft.reason == "severe_crush" else set()
        draft.pathological = set(draft.labels) if draft.reason == "pathological" else set()
    for draft in fresh[: site.pathological_beside]:
        level = next(each for each in LEVELS if each not in draft.labels)
        draft.labels[level] = "fresh"
        draft.pathological = {level}
    return normal + fresh + old + out_fresh + out_old


def _deal_fractures(
    people: Sequence[_Draft],
    label: VertebraClass,
    mean: float,
    levels: Mapping[Level, float],
    rng: np.random.Generator,
    *,
    first: bool = True,
) -> None:
    """Give `mean` fractures per patient, levels by quota; with `first` everybody gets at least one."""
    deck = quota(levels, round(mean * len(people)))
    deck = [deck[index] for index in rng.permutation(len(deck))]
    queue = [people[index] for index in rng.permutation(len(people))] if first else []
    for draft in queue:
        draft.labels[deck.pop()] = label
    for level in deck:
        free = [draft for draft in people if level not in draft.labels and len(draft.labels) < 5]
        if free:
            free[int(rng.integers(len(free)))].labels[level] = label


def _deal_views(site: SyntheticInstitution, drafts: Sequence[_Draft], rng: np.random.Generator) -> None:
    people = [draft for draft in drafts if draft.leading != "normal"]
    for index in rng.permutation(len(people))[: round(site.functional_share * len(people))]:
        people[index].views += ["flexion", "extension"]
    for index in rng.permutation(len(people))[: round(site.thoracic_share * len(people))]:
        people[index].views.append("thoracic")


def _patient(key: str, settings: PhantomSettings, draft: _Draft, number: int, reread: bool, seed: int) -> PatientPlan:
    site = settings.institutions[key]
    rng = np.random.default_rng(derive_seed(seed, "patient"))
    patient_id = f"{patient_prefix(key)}-{number + 1:04d}"
    mean, deviation = site.age_fresh if draft.leading == "fresh" else site.age_old
    age = int(np.clip(round(rng.normal(mean, deviation)), 41, 99))
    film_date = FIRST_DAY + dt.timedelta(days=int(rng.integers(DAYS)))
    onset = None
    if draft.leading == "fresh" and draft.reason != "onset_unknown":
        early = rng.random() < site.early_share
        onset = film_date - dt.timedelta(days=int(rng.integers(0, 15) if early else rng.integers(15, 57)))
    delay = int(np.clip(round(rng.normal(*site.mri_delay_days)), -45, 75))
    vertebrae = tuple(
        VertebraPlan(
            level,
            label := draft.labels.get(level, "normal"),
            level in draft.pathological,
            draw_signs(
                np.random.default_rng(derive_seed(seed, "signs", level)),
                label,
                severe=level in draft.severe,
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
            levels=THORACIC_LEVELS if view == "thoracic" else LEVELS,
        )
        for index, view in enumerate(draft.views)
    )
    conditions = []
    if draft.reason not in (None, "pathological"):
        for each in vertebrae:
            if each.label != "normal":
                ratio = round(1 - each.signs.loss, 2) if draft.reason == "severe_crush" else None
                conditions.append(ConditionPlan(each.level, None, "fracture", draft.reason, ratio))
    conditions += [
        ConditionPlan(level, film.view, "crop", "poor_positioning")
        for film in films
        for level in LEVELS
        if level not in film.levels
    ]
    return PatientPlan(
        patient_id=patient_id,
        leading=draft.leading,
        sex="F" if rng.random() < site.female_share else "M",
        age_years=age,
        film_date=film_date,
        onset_date=onset,
        mri_date=film_date + dt.timedelta(days=delay),
        vertebrae=vertebrae,
        films=films,
        conditions=tuple(conditions),
        reread=reread,
        seed=seed,
    )


def _drop_crops(
    site: SyntheticInstitution, patients: list[PatientPlan], used: Sequence[int], rng: np.random.Generator
) -> None:
    """Add crop conditions until `dropped_crop_share` of the used patients' vertebra images cannot be used."""
    images = [(number, film, level) for number in used for film in patients[number].films for level in film.levels]
    outside = sum(len(LEVELS) - len(film.levels) for number in used for film in patients[number].films)
    wanted = max(0, round(site.dropped_crop_share * (len(images) + outside)) - outside)
    reasons = quota(CROP_REASONS, wanted)
    for reason, index in zip(reasons, rng.permutation(len(images)).tolist(), strict=False):
        number, film, level = images[index]
        condition = ConditionPlan(level, film.view, "crop", reason)
        patients[number] = replace(patients[number], conditions=(*patients[number].conditions, condition))
