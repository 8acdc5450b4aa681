"""Dealing fractures, films, ages and unusable images to patients, so that the hospital's counts come out as set.

What lives here: the drafts of patients before they are people. Counts of vertebra images are met exactly where that is
possible: a fracture counts once for every film that shows its level, so patients with many films are dealt first and
those with one film close the gaps. In a hospital of a few patients a count may be missed by an image or two.
What does not: arithmetic of quotas (`quotas.py`), dates, signs and names (`plan.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from olvf_assets.foundation.vocabulary import CLASSES, LEVELS, Level, VertebraClass, View
from olvf_assets.phantom.quotas import fit_moments, quota
from olvf_assets.phantom.settings import ExclusionReason, ImageCounts, SyntheticInstitution

Leading = Literal["normal", "fresh", "old"]
Item = TypeVar("Item")
Room = dict[Level, int]  # images still to be dealt, by level
THORACIC_LEVELS: tuple[Level, ...] = ("L1", "L2", "L3")
CROP_REASONS: dict[ExclusionReason, float] = {
    "poor_positioning": 0.4,
    "poor_image_quality": 0.35,
    "foreign_substance": 0.25,
}
# Intake writes older ages as this one, so older patients would not come out with the mean that was set.
YOUNGEST, OLDEST = 41, 90
DELAY_DAYS = (-45, 75)
EARLY_DAYS, LATE_DAYS = (0, 15), (15, 57)  # from onset to film; the upper bound is not drawn


@dataclass
class Draft:
    """A patient in the making. `reason` is why the patient will be excluded, `dropped` which images are unusable."""

    leading: Leading
    reason: ExclusionReason | None = None
    labels: dict[Level, VertebraClass] = field(default_factory=dict)
    pathological: set[Level] = field(default_factory=set)
    views: list[View] = field(default_factory=lambda: ["neutral"])
    dropped: dict[tuple[View, Level], ExclusionReason] = field(default_factory=dict)
    age_years: int = 0
    mri_delay_days: int = 0
    onset_to_film_days: int | None = None

    def label(self, level: Level) -> VertebraClass:
        """Return the reference standard of a vertebra."""
        return self.labels.get(level, "normal")

    def images(self, level: Level) -> list[tuple[View, Level]]:
        """Return the films that show a level."""
        return [(view, level) for view in self.views if level in levels_in_field(view)]


def levels_in_field(view: View) -> tuple[Level, ...]:
    """Return the lumbar vertebrae that a film shows."""
    return THORACIC_LEVELS if view == "thoracic" else LEVELS


def draft_patients(site: SyntheticInstitution, rng: np.random.Generator) -> list[Draft]:
    """Return all patients of a hospital, kind by kind."""
    normal = [Draft("normal") for _ in range(site.patients_normal)]
    fresh = [Draft("fresh") for _ in range(site.patients_fresh)]
    old = [Draft("old") for _ in range(site.patients_old)]
    excluded = [Draft("fresh", reason) for reason, n in site.excluded_fresh.items() for _ in range(n)]
    excluded += [Draft("old", reason) for reason, n in site.excluded_old.items() for _ in range(n)]
    _deal_views(fresh, old, excluded, site.images, rng)
    unusable = _unusable([*fresh, *old], site.images)
    _deal_fractures(fresh, old, unusable, site.images, rng)
    _deal_excluded_fractures(excluded, site.images, rng)
    _add_pathological(fresh[: site.pathological_beside])
    _drop_images([*fresh, *old], unusable, rng)
    _deal_ages(fresh, old, [*normal, *excluded], site, rng)
    _deal_days(fresh, [*normal, *old, *excluded], site, rng)
    return [*normal, *fresh, *old, *excluded]


def _deal_views(
    fresh: Sequence[Draft],
    old: Sequence[Draft],
    excluded: Sequence[Draft],
    images: ImageCounts,
    rng: np.random.Generator,
) -> None:
    """Give the used patients the films of `images`, fresh and old alike, and the excluded ones as many per head."""
    reference = images.patients_fresh + images.patients_old
    further: tuple[tuple[int, list[View]], ...] = (
        (images.pairs, ["flexion", "extension"]),
        (images.thoracic_films, ["thoracic"]),
    )
    for count, views in further:
        of_used = round(count * (len(fresh) + len(old)) / reference)
        shares = quota({"fresh": len(fresh), "old": len(old)}, of_used)
        of_excluded = round(count * len(excluded) / reference)
        for people, number in ((fresh, shares["fresh"]), (old, shares["old"]), (excluded, of_excluded)):
            for draft in _shuffled(people, rng)[:number]:
                draft.views += views


def _unusable(used: Sequence[Draft], images: ImageCounts) -> dict[VertebraClass, Room]:
    """Return how many images inside the field are to be unusable, by class and level.

    What lies outside the field of thoracic films goes first; the rest is shared out as usable images are.
    """
    films = sum(len(draft.views) for draft in used)
    counts: dict[VertebraClass, Room] = {"normal": images.normal, "old": images.old, "fresh": images.fresh}
    missing = {level: images.films - sum(count[level] for count in counts.values()) for level in LEVELS}
    wanted = quota(missing, round(sum(missing.values()) * films / images.films))
    rooms: dict[VertebraClass, Room] = {name: {} for name in CLASSES}
    for level in LEVELS:
        outside = films - sum(len(draft.images(level)) for draft in used)
        shares = quota({name: counts[name][level] for name in CLASSES}, max(0, wanted[level] - outside))
        for name in CLASSES:
            rooms[name][level] = shares[name]
    return rooms


def _deal_fractures(
    fresh: Sequence[Draft],
    old: Sequence[Draft],
    unusable: dict[VertebraClass, Room],
    images: ImageCounts,
    rng: np.random.Generator,
) -> None:
    scale_fresh, scale_old = len(fresh) / images.patients_fresh, len(old) / images.patients_old
    n_beside = images.old_beside_fresh * scale_fresh * sum(images.old.values())
    n_own = (1 - images.old_beside_fresh) * scale_old * sum(images.old.values())
    of_fresh = quota(images.fresh, round(scale_fresh * sum(images.fresh.values())))
    of_old = quota(images.old, round(n_beside + n_own))
    of_fresh = {level: n + unusable["fresh"][level] for level, n in of_fresh.items()}
    of_old = {level: n + unusable["old"][level] for level, n in of_old.items()}
    beside = quota(of_old, round(n_beside))
    own = {level: of_old[level] - beside[level] for level in LEVELS}
    _deal_leading(fresh, "fresh", of_fresh, rng)
    _deal_more(fresh, "fresh", of_fresh, rng)
    _deal_leading(old, "old", own, rng)
    _deal_more(old, "old", own, rng)
    _deal_more(fresh, "old", beside, rng)


def _deal_leading(people: Sequence[Draft], label: VertebraClass, room: Room, rng: np.random.Generator) -> None:
    """Give everybody one fracture, at a level with room for all their films, and take these images from the room."""
    for draft in _most_films_first(people, rng):
        fitting = {level: n for level, n in room.items() if n >= len(draft.images(level))}
        level = _choice(fitting, rng) if sum(fitting.values()) else max(LEVELS, key=room.__getitem__)
        draft.labels[level] = label
        room[level] -= len(draft.images(level))


def _deal_more(people: Sequence[Draft], label: VertebraClass, room: Room, rng: np.random.Generator) -> None:
    """Give further fractures until the room is filled; whoever has too many films for what is left is passed over."""
    for level in LEVELS:
        for draft in _shuffled(people, rng):
            n = len(draft.images(level))
            if n <= room[level] and level not in draft.labels and len(draft.labels) < len(LEVELS) - 1:
                draft.labels[level] = label
                room[level] -= n


def _deal_excluded_fractures(excluded: Sequence[Draft], images: ImageCounts, rng: np.random.Generator) -> None:
    for leading, weights in (("fresh", images.fresh), ("old", images.old)):
        people = [draft for draft in excluded if draft.leading == leading]
        deck = [level for level, n in quota(weights, len(people)).items() for _ in range(n)]
        for draft, level in zip(_shuffled(people, rng), deck, strict=True):
            draft.labels[level] = draft.leading
            if draft.reason == "pathological":
                draft.pathological.add(level)


def _add_pathological(people: Sequence[Draft]) -> None:
    """Give a vertebra fractured by tumour to patients who stay for another fracture."""
    for draft in people:
        level = next(each for each in LEVELS if each not in draft.labels)
        draft.labels[level] = "fresh"
        draft.pathological.add(level)


def _drop_images(used: Sequence[Draft], unusable: dict[VertebraClass, Room], rng: np.random.Generator) -> None:
    """Mark as many images of each class and level as unusable; the last one of a leading fracture is kept."""
    total = sum(sum(room.values()) for room in unusable.values())
    reasons = [reason for reason, n in quota(CROP_REASONS, total).items() for _ in range(n)]
    reasons = _shuffled(reasons, rng)
    for name, room in unusable.items():
        for level, number in room.items():
            images = [
                (draft, image)
                for draft in used
                if draft.label(level) == name and level not in draft.pathological
                for image in draft.images(level)
            ]
            left = number
            for draft, image in _shuffled(images, rng):
                if left and (name != draft.leading or _usable_leading_images(draft) > 1):
                    draft.dropped[image] = reasons.pop()
                    left -= 1


def _usable_leading_images(draft: Draft) -> int:
    leading = [level for level, label in draft.labels.items() if label == draft.leading]
    images = [image for level in leading if level not in draft.pathological for image in draft.images(level)]
    return len(set(images) - set(draft.dropped))


def _deal_ages(
    fresh: Sequence[Draft],
    old: Sequence[Draft],
    others: Sequence[Draft],
    site: SyntheticInstitution,
    rng: np.random.Generator,
) -> None:
    """Draw ages below the oldest by a gamma distribution; those of the used patients meet mean and deviation."""
    for people, (mean, deviation) in ((fresh, site.age_fresh), (old, site.age_old)):
        younger = OLDEST - mean
        ages = OLDEST - rng.gamma((younger / deviation) ** 2, deviation**2 / younger, len(people))
        for draft, age in zip(people, fit_moments(ages, mean, deviation, YOUNGEST, OLDEST), strict=True):
            draft.age_years = age
    for draft in others:
        mean, deviation = site.age_fresh if draft.leading == "fresh" else site.age_old
        draft.age_years = int(np.clip(round(rng.normal(mean, deviation)), YOUNGEST, OLDEST))


def _deal_days(
    fresh: Sequence[Draft], others: Sequence[Draft], site: SyntheticInstitution, rng: np.random.Generator
) -> None:
    """Deal days from onset to film and from film to MRI; those of the used fresh patients meet their figures."""
    delays = fit_moments(rng.normal(*site.mri_delay_days, len(fresh)), *site.mri_delay_days, *DELAY_DAYS)
    early = set(rng.permutation(len(fresh))[: round(site.early_share * len(fresh))].tolist())
    for number, (draft, delay) in enumerate(zip(fresh, delays, strict=True)):
        draft.mri_delay_days = delay
        draft.onset_to_film_days = int(rng.integers(*(EARLY_DAYS if number in early else LATE_DAYS)))
    for draft in others:
        draft.mri_delay_days = int(np.clip(round(rng.normal(*site.mri_delay_days)), *DELAY_DAYS))
        if draft.leading == "fresh" and draft.reason != "onset_unknown":
            draft.onset_to_film_days = int(
                rng.integers(*(EARLY_DAYS if rng.random() < site.early_share else LATE_DAYS))
            )


def _shuffled(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    return [items[index] for index in rng.permutation(len(items))]


def _most_films_first(people: Sequence[Draft], rng: np.random.Generator) -> list[Draft]:
    return sorted(_shuffled(people, rng), key=lambda draft: -len(draft.views))


def _choice(weights: Room, rng: np.random.Generator) -> Level:
    levels, numbers = list(weights), np.array(list(weights.values()), dtype=np.float64)
    return levels[int(rng.choice(len(levels), p=numbers / numbers.sum()))]
