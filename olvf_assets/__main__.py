"""Commands beside Dagster's own: register institutions, add a hospital, open the warehouse.

What lives here: reading the command line. What does not: any work (`commands`).
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from olvf_assets.commands.hospitals import (
    add_hospital,
    look_at_hospital,
    register_institutions,
    study_at_hand,
    who_is_asked_for,
)
from olvf_assets.commands.warehouse_shell import open_warehouse
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.storage.landing_folders import KEY_PATTERN, odd_folders
from olvf_assets.storage.places import data_folder

MOST_REASONS_SHOWN = 5
COLLECTIONS = ("buu-lspine", "mendeley-spondylolisthesis", "vindr-spinexr", "pictures")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m olvf_assets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("register", help="tell Dagster of every institution that has a landing folder")
    adding = commands.add_parser(
        "add-hospital", help="look at a hospital's folder, copy it to data/landing and register it"
    )
    adding.add_argument("name", help="its key: lower-case letters, digits and _")
    adding.add_argument("source", type=Path, help="a folder laid out as the README shows")
    adding.add_argument("--dry-run", action="store_true", help="only say what would be taken in, refused and missed")
    adding.add_argument("--yes", action="store_true", help="do not ask, and copy also what would stop the hospital")
    asking_why = commands.add_parser("why", help="what has changed since a table was made")
    asking_why.add_argument("table", help="its name")
    commands.add_parser("sql", help="open data/olvf.duckdb, read-only")
    asking = commands.add_parser("whois", help="what a pseudonym or hidden file name stands for; needs the key")
    asking.add_argument("asked", metavar="NAME", help="P…, F…, a path of the tables or a word of one")
    forgetting = commands.add_parser("forget", help="erase an institution or a patient for good, and prove it")
    forgetting.add_argument("asked", metavar="NAME", help="an institution, or a patient's pseudonym or id")
    forgetting.add_argument("--landing", action="store_true", help="remove the files in the landing folder as well")
    forgetting.add_argument("--dry-run", action="store_true", help="say who is meant and what is known of him")
    forgetting.add_argument("--yes", action="store_true", help="do not ask")
    tidying = commands.add_parser("tidy", help="remove pictures, work and old versions that no current table reaches")
    tidying.add_argument("--keep-days", type=float, default=7.0, help="whatever is younger stays (default 7)")
    tidying.add_argument("--dry-run", action="store_true", help="only say what would go")
    drafting = commands.add_parser("draft-boxes", help="write the detector's boxes as label files to be corrected")
    drafting.add_argument("name", help="the hospital's key")
    drafting.add_argument("--out", type=Path, help="the folder (default data/draft_boxes/NAME)")
    drafting.add_argument("--format", choices=["yolo", "voc", "coco", "all"], default="yolo", help="default yolo")
    drafting.add_argument("--only-without-boxes", action="store_true", help="leave out films that have drawn boxes")
    _add_import(commands)
    measuring = commands.add_parser(
        "measure-transfer", help="how the detector did on hospitals that it has not learnt from, with pictures"
    )
    measuring.add_argument("names", nargs="+", metavar="name", help="the hospitals' keys")
    measuring.add_argument("--by", default="institution", help="a column of films that tells collections apart")
    measuring.add_argument("--no-pictures", action="store_true", help="only the table")
    sending = commands.add_parser(
        "results-back", help="write a hospital's results as DICOM objects for its image store"
    )
    sending.add_argument("name", help="the hospital's key")
    sending.add_argument("--dry-run", action="store_true", help="only say what would be written")
    sending.add_argument("--send", action="store_true", help="store what is not sent yet in the site's image store")
    _add_copies(commands)
    commands.add_parser("test-alert", help="tell those whom data/alerts/alerts.toml names that alerts reach them")
    asking_pacs = commands.add_parser("pacs", help="a site's image store: try it, fetch what is new, status")
    asking_pacs.add_argument("hospital", help="its key; data/pacs/<key>/pacs.toml says where its store is")
    asking_pacs.add_argument("action", choices=("test", "poll", "status"))
    asking_pacs.add_argument("--whole", action="store_true", help="poll: look through all days")
    asking_pacs.add_argument("--again", action="store_true", help="poll: fetch also what was taken away since")
    asking_pacs.add_argument("--no-wait", action="store_true", help="poll: leave what is still arriving to the next")
    return parser


def _add_copies(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    copying = commands.add_parser("back-up", help="copy the data folder and Dagster's records to another folder")
    copying.add_argument("folder", type=Path, help="where back-ups are kept, on another disk")
    copying.add_argument("--keep", type=int, metavar="N", help="remove all but the newest N back-ups afterwards")
    copying.add_argument("--without-key", action="store_true", help="leave out pseudonym.key; you have a copy")
    copying.add_argument("--check", action="store_true", help="copy nothing; read all back-ups and say what is damaged")
    restoring = commands.add_parser("restore", help="put a back-up back, into an empty data folder")
    restoring.add_argument("folder", type=Path, help="where back-ups are kept")
    restoring.add_argument("--of", metavar="WHEN", help="the back-up's name (default: the newest)")
    restoring.add_argument(
        "--with-forgotten", action="store_true", help="also if it holds somebody who was forgotten after it was made"
    )


def _add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    importing = commands.add_parser(
        "import", help="make a hospital's folder of a downloaded public collection, or of a folder of pictures"
    )
    importing.add_argument("kind", choices=COLLECTIONS, help="see docs/public_collections.md")
    importing.add_argument("source", type=Path, help="the folder of the download; nothing is downloaded here")
    importing.add_argument("--into", type=Path, help="the folder to make (default KEY beside the download)")
    importing.add_argument("--institution", metavar="KEY", help="its key (default the kind's name)")
    importing.add_argument("--role", choices=("external", "development"), default="external", help="default external")
    importing.add_argument("--accept-licence", action="store_true", help="accept the collection's terms; do not ask")
    importing.add_argument("--licence", metavar="TEXT", help="pictures: on what terms you have them")
    importing.add_argument("--lateral", action="store_true", help="pictures: all are lateral lumbar films")
    importing.add_argument("--by-folder", action="store_true", help="pictures: a folder is a patient, not a picture")
    importing.add_argument(
        "--silent", action="store_true", help="films say nothing of view and body part, frontal ones are made, too"
    )
    importing.add_argument(
        "--apart-from", type=Path, action="append", default=[], metavar="FOLDER", help="leave out an import's pictures"
    )


def main() -> int:
    """Run one command and return its exit status."""
    asked = _parser().parse_args()
    try:
        return DONE_BY[asked.command](asked) or 0
    except OlvfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _register(asked: argparse.Namespace) -> None:
    print("institutions:", ", ".join(register_institutions()))
    if (odd := odd_folders(data_folder() / "landing")) is not None:
        print(odd)


def _sql(asked: argparse.Namespace) -> int:
    return 1 if open_warehouse(data_folder() / "olvf.duckdb") else 0


def _whois(asked: argparse.Namespace) -> None:
    print("\n".join(who_is_asked_for(asked.asked)))


def _add(asked: argparse.Namespace) -> int:
    key, source, dry_run, yes = asked.name, asked.source, asked.dry_run, asked.yes
    look = look_at_hospital(key, source, report=print)
    print(look.described())
    if dry_run:
        return 1 if look.stops else 0
    if look.stops and not yes:
        print("nothing was copied; mend the folder, or say --yes to copy it as it is", file=sys.stderr)
        return 1
    if not yes and sys.stdin.isatty() and not _agreed(f"Take it in as {key}? Type yes: "):
        print("nothing was copied")
        return 1
    print(add_hospital(key, source, report=print))
    return 0


def _draft(asked: argparse.Namespace) -> None:
    from olvf_assets.commands.draft_boxes import draft_boxes, formats_named

    place = draft_boxes(
        asked.name,
        study_at_hand(),
        out=asked.out,
        formats=formats_named(asked.format),
        only_without_boxes=asked.only_without_boxes,
        report=print,
    )
    print(f"how to open them and give them back: {place / 'README.txt'}")


def _import(asked: argparse.Namespace) -> int:
    from olvf_assets.commands.collections.importing import KINDS, Asked, import_collection
    from olvf_assets.commands.collections.planned import Options

    kind = KINDS[asked.kind]
    licence = (asked.licence or "").strip() or kind.licence
    print(f"{kind.title}\n  licence: {licence}\n  access: {kind.access}\n  becomes: {kind.taken}")
    if not asked.accept_licence and not _agreed("Do you have the films on these terms? Type yes: "):
        print("nothing was imported; type yes when asked, or say --accept-licence", file=sys.stderr)
        return 1
    key = asked.institution or kind.key.replace("-", "_")
    if not KEY_PATTERN.fullmatch(key):
        print(f"error: --institution {key}: use lower-case letters, digits and _, a letter first", file=sys.stderr)
        return 1
    target = asked.into or asked.source.resolve().parent / key
    options = Options(lateral=asked.lateral, folder_is_patient=asked.by_folder, silent=asked.silent)
    wanted = Asked(
        kind, asked.source, target.absolute(), kind.title, asked.role, licence, options, tuple(asked.apart_from)
    )
    print(import_collection(wanted, report=print).described())
    print(f"next: make add-hospital NAME={key} FROM={target}")
    return 0


def _measure(asked: argparse.Namespace) -> int:
    from olvf_assets.commands.measure_transfer import COLLECTIONS as COLUMNS
    from olvf_assets.commands.measure_transfer import measure_transfer

    if asked.by not in COLUMNS:
        print(f"error: --by {asked.by}: write one of {', '.join(COLUMNS)}", file=sys.stderr)
        return 1
    study = study_at_hand()
    folder = measure_transfer(asked.names, study, by=asked.by, pictures=not asked.no_pictures, report=print)
    print(f"table and pictures: {folder}")
    return 0


def _results_back(asked: argparse.Namespace) -> int:
    from olvf_assets.orchestration.returning import results_back, send_results

    study = study_at_hand()
    refused = _first_shown(results_back(asked.name, study, dry_run=asked.dry_run, report=print).refused)
    if asked.send and not asked.dry_run:
        refused += _first_shown(send_results(asked.name, study, report=print).faults)
    return 1 if refused else 0


def _first_shown(reasons: Sequence[str]) -> int:
    for line in reasons[:MOST_REASONS_SHOWN]:
        print(f"  {line}")
    return len(reasons)


def _forget(asked: argparse.Namespace) -> int:
    from olvf_assets.commands.forgetting.erase import dagster_home, forget
    from olvf_assets.commands.forgetting.plan import plan_to_forget
    from olvf_assets.orchestration.books import postgres_url

    study = study_at_hand()
    home = dagster_home(study)
    plan = plan_to_forget(asked.asked, study)
    print(plan.described())
    if asked.dry_run:
        return 0
    if not asked.yes and not _agreed("Erase all of it for good? Type yes: "):
        print("nothing was erased; type yes when asked, or say --yes")
        return 1
    forget(plan, study, home, landing=asked.landing, report=print, postgres=postgres_url(home))
    return 0


def _test_alert(asked: argparse.Namespace) -> None:
    from olvf_assets.alerts.channels import send_test

    print("\n".join(send_test(data_folder())))


def _back_up(asked: argparse.Namespace) -> int:
    from olvf_assets.commands.backing_up.back_up import back_up
    from olvf_assets.commands.backing_up.kept import check_all
    from olvf_assets.commands.forgetting.erase import dagster_home

    if asked.keep is not None and asked.keep < 1:
        print("error: --keep is at least 1", file=sys.stderr)
        return 1
    if asked.check:
        return 1 if check_all(asked.folder, print) else 0
    study = study_at_hand()
    home = dagster_home(study)
    back_up(study, home, asked.folder, with_key=not asked.without_key, keep=asked.keep, report=print)
    return 0


def _restore(asked: argparse.Namespace) -> None:
    from olvf_assets.commands.backing_up.restore import restore
    from olvf_assets.commands.forgetting.erase import dagster_home
    from olvf_assets.commands.hospitals import end_restored_runs

    study = study_at_hand()
    home = dagster_home(study)
    restore(study, home, asked.folder, asked.of, with_forgotten=asked.with_forgotten, report=print)
    print(f"runs that were under way then and are ended: {len(end_restored_runs(home))}")


def _agreed(question: str) -> bool:
    try:
        return input(question).strip() == "yes"
    except EOFError:
        return False


def _why(asked: argparse.Namespace) -> None:
    from olvf_assets.commands.why import why
    from olvf_assets.orchestration.graph import all_checks, all_tables

    print("\n".join(why(asked.table, study_at_hand(), all_tables(), all_checks())))


def _pacs(asked: argparse.Namespace) -> None:
    from olvf_assets.commands import pacs

    match asked.action:
        case "test":
            print("\n".join(pacs.try_out(asked.hospital)))
        case "poll":
            print(pacs.poll(asked.hospital, print, whole=asked.whole, again=asked.again, wait=not asked.no_wait))
        case "status":
            print("\n".join(pacs.status(asked.hospital)))


def _tidy(asked: argparse.Namespace) -> None:
    from olvf_assets.commands.forgetting.tidy import tidy
    from olvf_assets.orchestration.graph import all_tables

    names = [each.name for each in all_tables()]
    freed = tidy(data_folder(), names, keep_days=asked.keep_days, dry_run=asked.dry_run, report=print)
    print(f"{'to be freed' if asked.dry_run else 'freed'}: {freed / 1e6:.1f} MB")


DONE_BY: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "register": _register,
    "add-hospital": _add,
    "why": _why,
    "sql": _sql,
    "whois": _whois,
    "forget": _forget,
    "tidy": _tidy,
    "back-up": _back_up,
    "restore": _restore,
    "test-alert": _test_alert,
    "draft-boxes": _draft,
    "import": _import,
    "measure-transfer": _measure,
    "results-back": _results_back,
    "pacs": _pacs,
}


if __name__ == "__main__":
    sys.exit(main())
