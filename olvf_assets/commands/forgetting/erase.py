"""Forgetting a patient or an institution for good, and the proof of it.

What lives here: the order in which traces are erased, and the search afterwards. What does not: whose traces (`plan`),
how a table, a picture or a database row is erased (`storage/erasure.py`).

Everything in the lake is made from the landing folder and can be made again. So the tables of the hospital and all that
are made of several hospitals go as a whole; what is slow to make (decoded films, copies, trained weights) stays unless
it derives from who is forgotten. Whoever helped to train is in every weight: those go, and are trained again.
"""

import glob
import os
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from olvf_assets.alerts.settings import FILE as ALERTS_FILE
from olvf_assets.alerts.settings import FOLDER as ALERTS
from olvf_assets.commands.draft_boxes import FOLDER as DRAFT_BOXES
from olvf_assets.commands.forgetting.plan import JOURNAL, WEIGHTS, Plan, names_of, note
from olvf_assets.detection.drafts.remembered import FOLDER as DRAFTS
from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.intake.boxes.films_of_pictures import drafted_film
from olvf_assets.intake.landing.box_names import BOXES_FOLDER
from olvf_assets.intake.landing.file_names import on_disk
from olvf_assets.intake.pacs.pacs_file import PACS_FOLDER
from olvf_assets.intake.pacs.received import REFUSED
from olvf_assets.intake.privacy.key_check import check_file
from olvf_assets.intake.privacy.whois import films_of, ids_in_sheets
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.run_log import LOGS
from olvf_assets.reporting.results_back.hospital import FOLDER as RESULTS
from olvf_assets.reporting.results_back.versions import FOLDER as VERSIONS
from olvf_assets.storage import erasure
from olvf_assets.storage.forgotten import note_forgotten
from olvf_assets.storage.postgres_records import erase_from_postgres, tables_with
from olvf_assets.storage.records import FOLDER as MADE
from olvf_assets.storage.traces import Traces, files_with

KEPT_BY_FILM = (DRAFTS, VERSIONS)  # in the lake
LEARNT = ("detector", "detector_generations", "classifiers", "packed_pixels", "replicas", "gradcam")
Report = Callable[[str], None]


class StillInLandingError(OlvfError):
    """The landing folder still holds what would bring him back at the next run."""


class TracesLeftError(OlvfError):
    """Something is left after erasing; names the files."""


class NoHomeError(MachineError):
    """It is not known where Dagster keeps its records."""


def forget(
    plan: Plan, study: StudyResource, home: Path, *, landing: bool, report: Report, postgres: str | None = None
) -> None:
    """Erase everything that a plan names, and search what is left.

    A killed call is finished by the same call: what was known of him is noted (as pseudonyms and hashes) until the
    proof is done.

    Args:
        plan: as `plan_to_forget` returned it.
        study: the data folder and the profile.
        home: where Dagster keeps its records.
        landing: whether his files in the landing folder are removed as well.
        report: told what was erased.
        postgres: the address of the database that Dagster's records are in, too.

    Raises:
        StillInLandingError: his files are in the landing folder and `landing` does not say that they may go, or they
            are in sheets or archives, which only the hospital can change.
        TracesLeftError: the search found something.
        DataFolderBusyError: a run is under way.
        DatabaseBusyError: Dagster's records are open in another program.
        PostgresError: the server cannot be asked.
    """
    lake = study.store.root
    with erasure.data_folder_held(study.data):
        _clear_landing(plan, study, remove=landing, report=report)
        note(plan, lake)
        _erase_tables(plan, lake, report)
        _erase_work(plan, lake, report)
        _erase_handed_out(plan, study, report)
        for path in (study.data / "reports", lake / MADE, *study.data.glob("olvf.duckdb*")):
            erasure.remove(path)
        report("the warehouse and the report are erased; they are made again without him")
        runs = erasure.erase_records(home, plan.traces)
        if postgres is not None:
            runs += erase_from_postgres(postgres, plan.traces)
        report(f"{runs} runs that mention him are erased from Dagster's records")
        alerts = study.data / ALERTS
        logs = list(files_with(plan.traces, [study.data / LOGS, alerts], [alerts / ALERTS_FILE]))
        for path in logs:
            erasure.remove(path)
        report(f"{len(logs)} log files that mention him are erased")
        if plan.shared:
            report(f"some of the films were handed over by {', '.join(sorted(plan.shared))} too, and stay there")
        _prove(plan, study, home, postgres, report)
        _note_for_back_ups(plan, study, report)
        erasure.remove(lake / JOURNAL)


def _note_for_back_ups(plan: Plan, study: StudyResource, report: Report) -> None:
    """Note that he was forgotten where back-ups are kept, so that `restore` refuses those that hold him."""
    told, away = note_forgotten(study.data, [plan.name], time.time())
    for folder in told:
        report(f"back-ups in {folder} hold him still; `restore` will refuse them. To be rid of him there, too, run: "
               f"python -m olvf_assets back-up {folder} --keep 1")  # fmt: skip
    for folder in away:
        report(
            f"{folder} has back-ups and is not there now, so it does not know; when it is: back-up {folder} --keep 1"
        )


def dagster_home(study: StudyResource) -> Path:
    """Return where Dagster keeps its records.

    Raises:
        NoHomeError: DAGSTER_HOME is not set and there are none in the data folder.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or study.data / "dagster")
    if not home.is_dir():
        raise NoHomeError(f"{home} is no folder, so Dagster's records cannot be searched; run: . ./env.sh")
    return home.resolve()


def _clear_landing(plan: Plan, study: StudyResource, *, remove: bool, report: Report) -> None:
    folder, pacs = (study.data / place / plan.institution for place in ("landing", PACS_FOLDER))
    if not plan.of_patient:
        for each in (pacs, folder):
            if each.exists() and not remove:
                raise StillInLandingError(
                    f"{each} is there, and its films would be taken in again; move it away, or say --landing to have "
                    "it removed"
                )
            if each.exists():
                erasure.remove(each)
                report(f"{each} is removed")
        return
    if (pacs / REFUSED).exists():  # who knows whose: some of it cannot be read
        erasure.remove(pacs / REFUSED)
        report(f"what the image store of {plan.institution} sent and was laid aside is removed, whosever it is")
    if not folder.exists():
        return
    names = names_of(study, plan.institution)
    films = films_of(folder, plan.name, names)
    packed = [path for path in films if not on_disk(folder, path).is_file()]
    in_sheets = any(names.patient(each) == plan.name for each in ids_in_sheets(folder))
    if in_sheets or packed or (films and not remove):
        where = [*(["its sheets"] if in_sheets else []), *([f"{len(packed)} films in archives"] if packed else [])]
        where += [f"{len(films) - len(packed)} films"] if len(films) > len(packed) else []
        raise StillInLandingError(
            f"{plan.name} is in the landing folder of {plan.institution} ({', '.join(where)}), and the next run would "
            "take him in again. Take him out of sheets and archives by hand; --landing removes his other films. "
            f"`python -m olvf_assets whois {plan.name}` lists them"
        )
    for path in films:
        film = on_disk(folder, path)
        erasure.remove(film)
        for box in (folder / BOXES_FOLDER).rglob(f"{glob.escape(film.stem)}.*"):
            erasure.remove(box)
    for box in list((folder / BOXES_FOLDER).rglob("*_F*.*")):
        if drafted_film(box.name) in plan.films:
            erasure.remove(box)
    report(f"{len(films)} films of his are removed from the landing folder")


def _erase_tables(plan: Plan, lake: Path, report: Report) -> None:
    gone = 0
    for table in list(erasure.tables(lake)):
        frame, partition_by = erasure.read(table)
        rows = frame.filter(pl.col("institution") != plan.institution) if partition_by == ["institution"] else frame[:0]
        gone += frame.height - rows.height
        erasure.replace(table, rows, partition_by)
    for leftover in (lake / "tables").glob(f"{erasure.PARTIAL}*"):
        erasure.remove(leftover)
    report(f"{gone} rows are erased, with all old versions of all tables; the next run makes those of others again")


def _erase_work(plan: Plan, lake: Path, report: Report) -> None:
    folders, learnt = 0, 0
    for work in list(erasure.work_folders(lake)):
        kind = work.parent.name
        weight = kind in WEIGHTS and f"{kind}/{work.name}" not in plan.weights
        if kind in LEARNT and (plan.learnt or weight):
            learnt += 1
        elif not work.name.startswith(f"{plan.institution}-") and not erasure.holds(work, plan.traces.are_in):
            continue
        erasure.remove(work)
        folders += 1
    report(f"{folders} pieces of work are erased, {learnt} of them trainings that may have learnt from him")
    for path in (lake / "arrivals").glob(f"{plan.institution}.*"):
        erasure.remove(path)
    if not plan.of_patient:
        erasure.remove(lake / check_file(plan.institution))
    for path in list(files_with(plan.traces, [lake], [lake / "images", lake / "tables", lake / JOURNAL])):
        erasure.remove(path)
    left = [erasure.read(table)[0] for table in erasure.tables(lake)]
    used = plan.pictures.union(*map(erasure.pictures_of, left))
    used = used | {picture for work in erasure.work_folders(lake) for picture in erasure.pictures_of_work(work)}
    pictures = erasure.unused_pictures(lake, used)
    for path in pictures:
        erasure.remove(path)
    report(f"{len(pictures)} pictures are erased that nobody else uses")


def _erase_handed_out(plan: Plan, study: StudyResource, report: Report) -> None:
    """Erase what was written of his institution's films for people and image stores, as far as it tells of him.

    Another institution that handed over the same film keeps its own.
    """
    folders = [study.data / DRAFT_BOXES, study.data / RESULTS, *(study.store.root / each for each in KEPT_BY_FILM)]
    own = [folder / plan.institution for folder in folders]
    own += (study.data / DRAFT_BOXES).glob(f".{plan.institution}.*")  # left by a killed call
    his = Traces(plan.traces.ids | plan.films)
    paths = list(files_with(his, own)) if plan.of_patient else [folder for folder in own if folder.exists()]
    for path in paths:
        erasure.remove(path)
    if paths:
        report(f"draft boxes and results that tell of him are erased ({len(paths)} files or folders)")


def _prove(plan: Plan, study: StudyResource, home: Path, postgres: str | None, report: Report) -> None:
    """Search every file of the data folder and of Dagster's records.

    Raises:
        TracesLeftError: something was found.
    """
    besides = [study.data / "landing", study.data / "weights", study.store.root / JOURNAL, study.data / ".runs"]
    folders = [study.data] if home.is_relative_to(study.data) else [study.data, home]
    left = [*map(str, files_with(plan.traces, folders, besides))]
    left += [f"PostgreSQL: {table}" for table in (tables_with(postgres, plan.traces) if postgres else ())]
    if left:
        listed = "\n".join(f"  {path}" for path in left[:20])
        raise TracesLeftError(
            f"{len(left)} files or tables still tell of {plan.name}; start the command again\n{listed}"
        )
    count = sum(1 for folder in folders for path in folder.rglob("*") if path.is_file())
    report(
        f"proof: {len(plan.traces.ids)} pseudonyms and hashes and {len(plan.traces.words)} names were searched for in "
        f"{count} files ({', '.join(map(str, folders))}; tables, archives and databases unpacked) and found in none"
    )
