"""Results of a hospital as DICOM objects, from the tables of the last run.

What lives here: whether the hospital wants them, which tables they come from, what is said. What does not: the objects
and their files (`reporting.results_back`), the connection (`intake.pacs`), when it is done (`results_back.py`). Loaded
by the command and the run that need it: the DICOM libraries are heavy.
"""

from collections.abc import Callable
from typing import NamedTuple

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.privacy.key_check import refuse_other_key
from olvf_assets.intake.privacy.pseudonyms import pseudonymiser
from olvf_assets.intake.privacy.safe_paths import path_names
from olvf_assets.orchestration.held import data_folder_of
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.reporting.results_back.findings import findings_of
from olvf_assets.reporting.results_back.hospital import FOLDER, Outcome, mark_sent, unsent, write_results
from olvf_assets.reporting.tables import RESULTS_FROM


class ResultsBackOffError(OlvfError):
    """Results do not go back to this hospital: nobody has switched that on."""


class NoResultsError(OlvfError):
    """There is nothing to send back to a hospital."""


class Sent(NamedTuple):
    """What became of the files that were to be stored in an image store.

    Attributes:
        stored: how many are in the store now.
        faults: of each other one its name and why.
    """

    stored: int
    faults: list[str]


def results_back(institution: str, study: StudyResource, *, dry_run: bool, report: Callable[[str], None]) -> Outcome:
    """Write what is to go back to a hospital, and return what became of its films.

    Args:
        institution: its key.
        study: whose tables.
        dry_run: only say what would be written, also for a hospital that has not switched it on.
        report: told of progress and of what was done, without any name.

    Raises:
        ResultsBackOffError: `institution.toml` does not say `results_back = true`.
        NoResultsError: no film of the hospital has been searched or scored.
        InstitutionFileError, LandingError: its folder.
        AbsentTableError: the study has not been run.
        PseudonymKeyError: the key at hand is not the hospital's.
        StaleResultsError: the tables do not belong together.
        DataFolderInUseError: a run is at work.
    """
    folder = study.data / "landing" / institution
    site = read_institution(folder)
    if not site.results_back:
        off = f"{folder / 'institution.toml'} does not say results_back = true, so nothing goes back to {institution}"
        if not dry_run:
            raise ResultsBackOffError(f"{off}; add that line when the hospital wants results in its image store")
        report(off)
    names = pseudonymiser(institution, institution in study.profile.phantom.institutions, study.data)
    if not names.synthetic:
        refuse_other_key(names, study.store)
    with data_folder_of(study, "results-back", report):
        protocol = study.profile.protocols[0]
        findings = findings_of(
            institution,
            **{name: study.table(table) for name, table in RESULTS_FROM.items()},
            protocol=protocol,
            only_predicted=site.role == "development",
        )
        if not findings:
            raise NoResultsError(f"{institution}: no film has been searched and scored; run the study first")
        out = study.data / FOLDER / institution
        outcome = write_results(
            findings, folder, out, study.store, names, path_names(folder, names), dry_run=dry_run, report=report
        )
        waiting = len(unsent(study.data, study.store, institution))
    said = ", ".join(f"{state} {n}" for state, n in sorted(outcome.counts.items()))
    report(f"{len(findings)} films: {said}" + (" (nothing was written)" if dry_run else f"; files in {out}"))
    if waiting and not dry_run:
        report(
            f"{waiting} files are to be sent; they hold the patients' names, as the films do: keep them where they are"
        )
    return outcome


def send_results(institution: str, study: StudyResource, *, report: Callable[[str], None]) -> Sent:
    """Store in a site's image store what was written and not sent yet.

    A call that breaks off is repeated as a whole: a store knows an object by its UID and doubles nothing.

    Args:
        institution: its key.
        study: whose data folder.
        report: told of progress and of what was done, without any name.

    Raises:
        PacsError: the site has no image store, or the connection failed.
        DataFolderInUseError: a run is at work.
    """
    from olvf_assets.intake.pacs.site import send_to_store

    files = unsent(study.data, study.store, institution)
    if not files:
        report("nothing is to be sent")
        return Sent(0, [])
    answers = send_to_store(study.data, institution, files, report)
    stored = [file for file, fault in answers.items() if fault is None]
    with data_folder_of(study, "results-back", report):
        mark_sent(study.data, study.store, institution, stored)
    report(f"{len(stored)} of {len(files)} files are in the image store of {institution}")
    return Sent(len(stored), [f"{file.name}: {fault}" for file, fault in answers.items() if fault is not None])
