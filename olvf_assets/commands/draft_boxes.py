"""Drafts of boxes for a hospital, from the tables of the last run.

What lives here: which films are drafted, where the folder lies, what is said. What does not: what is proposed, the
files and the refusal to write over a person's work (`detection.drafts`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from olvf_assets.detection.drafts.label_files import LABEL_FORMATS, LabelFormat
from olvf_assets.detection.drafts.proposals import proposals
from olvf_assets.detection.drafts.remembered import remember
from olvf_assets.detection.drafts.written import named, refuse_changed, write_drafts
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.landing.box_names import BOXES_FOLDER
from olvf_assets.intake.privacy.key_check import refuse_other_key
from olvf_assets.intake.privacy.pseudonyms import pseudonymiser
from olvf_assets.orchestration.held import data_folder_of
from olvf_assets.orchestration.resources import StudyResource

FOLDER = "draft_boxes"


class NothingToDraftError(OlvfError):
    """There is no film to draft boxes for."""


class BadPlaceError(OlvfError):
    """The folder named for the drafts is one that OLVF reads or keeps tables in."""


def formats_named(chosen: str) -> list[LabelFormat]:
    """Return the formats that a word of the command line stands for: one, or `all`."""
    return [each for each in LABEL_FORMATS if chosen in (each, "all")]


def draft_boxes(
    institution: str,
    study: StudyResource,
    *,
    out: Path | None,
    formats: Sequence[LabelFormat],
    only_without_boxes: bool,
    report: Callable[[str], None],
) -> Path:
    """Write the detector's proposals for a hospital's films as label files, and return the folder.

    Args:
        institution: its key.
        study: whose tables.
        out: the folder; None: `draft_boxes/<institution>` in the data folder.
        formats: of the label files.
        only_without_boxes: leave out films that somebody has drawn boxes on, or whose draft came back.
        report: told of progress.

    Raises:
        AbsentTableError: the study has not been run.
        NothingToDraftError: the hospital has no film that the detector has searched, or all have boxes.
        BadPlaceError, DraftFolderError: `out` may not be written to.
        StaleDraftsError: the tables do not belong together.
        PseudonymKeyError: the key at hand is not the hospital's.
        DataFolderInUseError: a run is at work.
    """
    place = (out or study.data / FOLDER / institution).absolute()
    _refuse_place(place, study)
    refuse_changed(place)  # before anything slow
    with data_folder_of(study, "draft-boxes", report):
        films, detected, candidates, drawn = (
            study.table(name).filter(institution=institution)
            for name in ("films", "detected_films", "detection_candidates", "drawn_films")
        )
        if films.is_empty():
            known = ", ".join(sorted(study.table("films")["institution"].unique())) or "none"
            raise NothingToDraftError(f"{institution} has no films in the lake; hospitals with films: {known}")
        synthetic = institution in study.profile.phantom.institutions
        if synthetic:
            report(
                f"{institution} is made up by the profile, and its landing folder takes no files of others: to give "
                "drafts back, use a hospital that was added (make add-hospital)"
            )
        else:
            refuse_other_key(pseudonymiser(institution, synthetic, study.data), study.store)
        if only_without_boxes:
            films = films.join(drawn.filter((pl.col("n_boxes") > 0) | pl.col("is_draft")), on="film_id", how="anti")
        drafts = proposals(films, detected, candidates, study.profile.protocols[0])
        if not drafts:
            why = "all of its films have boxes" if only_without_boxes and films.is_empty() else "none was searched yet"
            raise NothingToDraftError(f"{institution}: there is no film to draft boxes for: {why}")
        if later := len(films) - len(drafts):
            report(f"{later} films have come since the detector last ran; run the study to have drafts of them, too")
        new = write_drafts(
            named(drafts),
            place,
            formats,
            study.store,
            institution=institution,
            boxes_folder=study.data / "landing" / institution / BOXES_FOLDER,
            before_in_place=lambda: remember(study.store, institution, drafts),
            report=report,
        )
    states = {state: sum(draft.state == state for draft in drafts) for state in ("nothing_found", "ambiguous")}
    said = ", ".join(f"{state.replace('_', ' ')} {n}" for state, n in states.items() if n) or "levels told on each"
    report(f"{len(drafts)} films ({said}) in {place}" + ("" if new else ", as written before"))
    return place


def _refuse_place(place: Path, study: StudyResource) -> None:
    """Refuse a folder of drafts that would be taken in as films, or lie among tables.

    Raises:
        BadPlaceError: see there.
    """
    resolved = place.resolve()
    for name in ("landing", "lake", "reports", "dagster", "logs", ".runs"):
        if resolved.is_relative_to(study.data / name):
            raise BadPlaceError(f"{place} lies in data/{name}, which OLVF reads or writes itself; name another folder")
    if study.data.is_relative_to(resolved):
        raise BadPlaceError(f"{place} holds the data folder; name another folder")
