"""Who is to be forgotten, and what he left.

What lives here: whom a name means, the pseudonyms, hashes and names that he is known by, whether networks learnt from
him. What does not: erasing any of it (`erase`).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.privacy.key_check import keyed_institutions
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser, pseudonymiser
from olvf_assets.intake.privacy.whois import PATIENT, patient_ids
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage import erasure
from olvf_assets.storage.artifacts import write_atomically
from olvf_assets.storage.traces import ID, Traces, frame_text

WEIGHTS = ("detector", "classifiers")
WORK_PATH = re.compile(r"work/(\w+)/([0-9a-f]{16})/")
HASHES_OF_HIS = ("sha256", "pixel_sha256", "image_path", "map_path", "crop_path", "film_path")
JOURNAL = "forgetting.json"
SHORTEST_KEY, SHORTEST_ID = 3, 5  # shorter ones stand in any file by chance and are not searched for
Frames = dict[str, pl.DataFrame]


class UnknownTargetError(OlvfError):
    """Nobody of that name is known, or several are."""


@dataclass(frozen=True)
class Plan:
    """Who is forgotten and what is known of him.

    Attributes:
        name: the institution's key, or the patient's pseudonym.
        institution: whose tables go.
        traces: what is searched for.
        learnt: whether networks learnt from him.
        weights: work folders (kind/fingerprint) of the weights that current tables name.
        pictures: hashes of the pictures that others use.
        shared: other institutions that handed over some of the same films; they keep them.
        films: the patient's films in his institution, also those that others handed over, too; empty if an institution
            is forgotten.
    """

    name: str
    institution: str
    traces: Traces
    learnt: bool
    weights: frozenset[str]
    pictures: frozenset[str]
    shared: frozenset[str]
    films: frozenset[str]

    @property
    def of_patient(self) -> bool:
        """Return whether one patient is forgotten, not the institution."""
        return self.name != self.institution

    def described(self) -> str:
        """Return what is about to be erased."""
        who = f"patient {self.name} of {self.institution}" if self.of_patient else f"institution {self.institution}"
        weights = "all trained weights go, and are trained again" if self.learnt else "no network has learnt from him"
        return (
            f"{who}: {len(self.traces.ids)} pseudonyms and hashes are known of him; {weights}. Tables, warehouse and "
            "report are erased with their old versions, and made again without him by the next run"
        )


def plan_to_forget(asked: str, study: StudyResource) -> Plan:
    """Return who is meant and what he left.

    Args:
        asked: an institution's key, a patient's pseudonym, or a patient's id in his hospital (the last needs the key).
        study: the data folder and the profile.

    Raises:
        UnknownTargetError: nobody is called so, or patients of several institutions are.
    """
    lake = study.store.root
    current = {table.stem: erasure.read(table)[0] for table in erasure.tables(lake)}
    name, institution, words = _meant(asked.strip(), study, current)
    kept = journal(lake)
    if kept and kept["name"] != name:
        raise UnknownTargetError(f"forgetting {kept['name']} was not finished; do that first: forget {kept['name']}")
    films = set() if name == institution else _films_of(name, current)
    own, others = _apart(current, institution, None if name == institution else Traces(frozenset({name, *films})))
    ids = _pseudonyms(own) if name == institution else {name, *films}
    shared = _holders_of(ids, others)
    ids = (ids | _hashes(own)) - _pseudonyms(others) - _hashes(others)
    texts = (frame_text(frame).decode() for frame in current.values() if frame.height)
    weights = {"/".join(found) for text in texts for found in WORK_PATH.findall(text) if found[0] in WEIGHTS}
    return Plan(
        name=name,
        institution=institution,
        traces=Traces(frozenset({*ids, *kept.get("ids", [])}), frozenset(words)),
        learnt=bool(kept.get("learnt")) or _learnt(institution, current),
        weights=frozenset({*weights, *kept.get("weights", [])}),
        pictures=frozenset().union(*map(erasure.pictures_of, others.values())),
        shared=frozenset(shared),
        films=frozenset({*films, *kept.get("films", [])}),
    )


def note(plan: Plan, lake: Path) -> None:
    """Keep what is known of him until he is forgotten: after a kill the tables that tell it may be gone."""
    said = {"name": plan.name, "institution": plan.institution, "ids": sorted(plan.traces.ids),
            "learnt": plan.learnt, "weights": sorted(plan.weights), "films": sorted(plan.films)}  # fmt: skip
    write_atomically(lake / JOURNAL, lambda path: path.write_text(json.dumps(said)))


def journal(lake: Path) -> dict[str, Any]:
    """Return what a killed call had noted; empty when none was."""
    try:
        said = json.loads((lake / JOURNAL).read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def names_of(study: StudyResource, institution: str) -> Pseudonymiser:
    """Return what makes the pseudonyms of an institution."""
    return pseudonymiser(institution, institution in study.profile.phantom.institutions, study.data)


def _meant(asked: str, study: StudyResource, current: Frames) -> tuple[str, str, set[str]]:
    """Return name, institution and the words that stand for him in clear."""
    with_institution = [frame for frame in current.values() if "institution" in frame.columns]
    known = {*study.institutions(), *keyed_institutions(study.store)}
    known |= {key for frame in with_institution for key in frame["institution"].drop_nulls().unique()}
    if asked in known:
        return asked, asked, {asked} if len(asked) >= SHORTEST_KEY else set()
    if (kept := journal(study.store.root)) and kept["name"] == asked:
        return asked, kept["institution"], set()
    patients = {
        (key, patient)
        for frame in with_institution
        if "patient_id" in frame.columns
        for key, patient in frame.select("institution", "patient_id").drop_nulls().unique().iter_rows()
    }
    found = {key for key, patient in patients if patient == asked}
    names = {key: names_of(study, key) for key in sorted(known)} if not found else {}
    for key, each in names.items():
        landed = patient_ids(study.data / "landing" / key) if (study.data / "landing" / key).is_dir() else set()
        if PATIENT.fullmatch(asked):
            found |= {key for patient_id in landed if each.patient(patient_id) == asked}
        elif each.patient(asked) in {*map(each.patient, landed), *(patient for _, patient in patients)}:
            found.add(key)
    if not found:
        raise UnknownTargetError(
            f"{'this pseudonym' if PATIENT.fullmatch(asked) else 'this name'} is neither an institution nor a patient "
            "of the tables or landing folders"
        )
    if len(found) > 1:
        listed = ", ".join(f"{names[key].patient(asked)} ({key})" for key in sorted(found))
        raise UnknownTargetError(f"patients of several institutions have this id; forget one of: {listed}")
    institution = found.pop()
    if PATIENT.fullmatch(asked):
        return asked, institution, set()
    return names[institution].patient(asked), institution, {asked} if len(asked) >= SHORTEST_ID else set()


def _films_of(patient: str, current: Frames) -> set[str]:
    return {
        film
        for frame in current.values()
        if {"patient_id", "film_id"} <= set(frame.columns)
        for film in frame.filter(patient_id=patient)["film_id"].drop_nulls()
    }


def _apart(current: Frames, institution: str, his: Traces | None) -> tuple[Frames, Frames]:
    """Return the rows of who is forgotten and all others, of every table that tells institutions apart.

    Args:
        current: all tables.
        institution: whose rows, or whose patient's.
        his: the patient's pseudonyms; None for the whole institution.
    """
    own, others = {}, {}
    for table, frame in current.items():
        if "institution" not in frame.columns:
            continue
        mine = (frame["institution"] == institution).fill_null(value=False)
        if his is not None:
            told = [each and his.are_in_text(str(row)) for each, row in zip(mine, frame.iter_rows(), strict=True)]
            mine = pl.Series(told, dtype=pl.Boolean)
        own[table], others[table] = frame.filter(mine), frame.filter(~mine)
    return own, others


def _holders_of(ids: set[str], rows: Frames) -> set[str]:
    """Return the institutions in whose rows one of the films or patients stands."""
    theirs = Traces(frozenset(ids))
    return {
        key
        for frame in rows.values()
        for (key,), part in frame.group_by("institution")
        if key is not None and theirs.are_in(frame_text(part))
    }


def _pseudonyms(rows: Frames) -> set[str]:
    texts = (frame_text(frame) for frame in rows.values() if frame.height)
    return {found for text in texts for match in ID.finditer(text) if len(found := match.group().decode()) != 64}


def _hashes(rows: Frames) -> set[str]:
    """Return the hashes of files and pictures in tables; not those of weights, which many rows share."""
    chosen = (frame.select(pl.col(name) for name in HASHES_OF_HIS if name in frame.columns) for frame in rows.values())
    texts = (frame_text(frame) for frame in chosen if frame.width and frame.height)
    return {found for text in texts for match in ID.finditer(text) if len(found := match.group().decode()) == 64}


def _learnt(institution: str, current: Frames) -> bool:
    """Return whether networks learnt from the institution; whoever's role nobody knows is taken to have taught."""
    for table in ("splits", "patient_splits", "detector_copies"):
        if table in current and institution in current[table].get_column("institution", default=pl.Series([])):
            return True
    roles = current.get("institutions", pl.DataFrame(schema={"institution": pl.String, "role": pl.String}))
    return roles.filter(institution=institution, role="external").is_empty()
