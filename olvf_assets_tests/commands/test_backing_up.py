"""A copy of everything, and the way back: whole or not at all, and nobody who was forgotten comes back unnoticed."""

import errno
import json
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from olvf_assets.__main__ import main
from olvf_assets.commands.backing_up import back_up as module
from olvf_assets.commands.backing_up import restore as restoring
from olvf_assets.commands.backing_up.back_up import UnreadableSourceError, back_up
from olvf_assets.commands.backing_up.kept import (
    BackUp,
    BackUpError,
    BackUpFolder,
    BackUpFullError,
    DamagedBackUpError,
    check_all,
)
from olvf_assets.commands.backing_up.restore import FolderNotEmptyError, ForgottenInBackUpError, restore
from olvf_assets.orchestration.books import books_of
from olvf_assets.orchestration.lost_runs import DATA_TAG, HOST_TAG, end_runs_of_before
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.forgotten import FORGOTTEN_FILE, mark, note_forgotten
from olvf_assets.storage.run_lock import DataFolderInUseError, hold_data_folder
from olvf_assets_tests.disks import failing_disk

HIM, ANOTHER = "P00000000000000aa", "P00000000000000bb"
FILM = "YAMADA HANAKO 4711.dcm"
PLAIN = ("lake/images/ab/ab.png", f"landing/clinic/films/{FILM}", "landing/clinic/institution.toml", "pseudonym.key",
         "reports/index.html", "weights/yolo.pt")  # fmt: skip


class Site:
    """A data folder with a little of everything, records of Dagster, and where back-ups are kept."""

    def __init__(self, root: Path) -> None:
        self.data, self.home, self.kept = root / "data", root / "home", root / "kept"
        self.said: list[str] = []
        for name in PLAIN:
            file = self.data / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"content of {name}")
        (self.data / "pseudonym.key").chmod(0o600)
        (self.data / "results").mkdir(mode=0o700)
        for passing in (
            "lake/.partial-x.png",
            ".runs/data_folder.lock",
            "logs/a.log",
            "olvf.duckdb.tmp",
            "landing/.c.partial/a",
        ):
            (self.data / passing).parent.mkdir(parents=True, exist_ok=True)
            (self.data / passing).write_text("")
        (self.data / "landing" / "clinic" / "boxes").symlink_to("/elsewhere/boxes")
        self.write(HIM, ANOTHER)
        for file in (self.data / "pacs" / "clinic" / "state.sqlite", self.home / "history" / "runs.db"):
            file.parent.mkdir(parents=True)
            with closing(sqlite3.connect(file)) as database:
                database.execute("pragma journal_mode = wal")
                database.execute("create table said (what text)")
                database.execute("insert into said values ('in the file')")
                database.commit()
        (self.home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")

    def write(self, *patients: str) -> None:
        frame = pl.DataFrame({"institution": "clinic", "patient_id": patients})
        frame.write_delta(str(self.data / "lake" / "tables" / "subjects.delta"), mode="overwrite")

    def study(self, data: Path | None = None) -> StudyResource:
        return StudyResource(profile_name="ci", data_folder=str(data or self.data))

    def back_up(self, *, with_key: bool = True, keep: int | None = None) -> str:
        return back_up(self.study(), self.home, self.kept, with_key=with_key, keep=keep, report=self.said.append)

    def restore(self, to: Path, name: str | None = None, *, with_forgotten: bool = False) -> None:
        study, home = self.study(to / "data"), to / "home"
        restore(study, home, self.kept, name, with_forgotten=with_forgotten, report=self.said.append)

    def contents(self) -> list[Path]:
        return sorted(path for path in (self.kept / "contents").rglob("*") if path.is_file())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("OLVF_WAIT", "0")
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY", raising=False)
    seconds = iter(range(10_000))
    monkeypatch.setattr(module.time, "time", lambda: 1_800_000_000.0 + next(seconds))
    return Site(tmp_path)


def described(top: Path) -> dict[str, tuple[str, int, int, bytes]]:
    """Return kind, rights, mtime and content of everything below a folder but databases."""
    found = {}
    for path in sorted(top.rglob("*")):
        status, name = path.lstat(), path.relative_to(top).as_posix()
        if path.is_symlink():
            found[name] = ("link", 0, 0, os.readlink(path).encode())
        elif path.is_dir():
            found[name] = ("folder", status.st_mode, 0, b"")
        elif not name.endswith((".sqlite", ".db", "-wal", "-shm")):
            found[name] = ("file", status.st_mode, status.st_mtime_ns, path.read_bytes())
    return found


def said_in(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as opened:
        return [what for (what,) in opened.execute("select what from said order by what")]


def test_what_is_put_back_is_what_there_was(site: Site, tmp_path: Path) -> None:
    site.back_up()
    before = described(site.data)
    site.restore(tmp_path / "new")
    after = described(tmp_path / "new" / "data")
    left_out = {"logs", "logs/a.log", "lake/.partial-x.png", "olvf.duckdb.tmp", "landing/.c.partial",
                "landing/.c.partial/a", ".runs/data_folder.lock"}  # fmt: skip
    assert {name for name in before if name not in after} <= left_out
    assert {name: after[name] for name in before if name not in left_out and name != ".runs"} == {
        name: before[name] for name in before if name not in left_out and name != ".runs"
    }
    subjects = pl.read_delta(str(tmp_path / "new" / "data" / "lake" / "tables" / "subjects.delta"))
    assert subjects["patient_id"].to_list() == [HIM, ANOTHER]
    assert said_in(tmp_path / "new" / "home" / "history" / "runs.db") == ["in the file"]
    assert (tmp_path / "new" / "home" / "dagster.yaml").exists()
    assert "1 symbolic links are kept as links; what they point to is not in the back-up" in site.said
    assert site.kept.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in [*site.contents(), *site.kept.glob("*.json")]} <= {0, 0o044}


def test_what_a_database_holds_in_its_journal_is_copied_too(site: Site, tmp_path: Path) -> None:
    site.back_up()
    database = site.data / "pacs" / "clinic" / "state.sqlite"
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("insert into said values ('in the journal')")
        writer.commit()
        assert (database.parent / "state.sqlite-wal").stat().st_size > 0
        site.back_up()
        assert (database.parent / "state.sqlite-wal").exists()
    site.restore(tmp_path / "new")
    assert said_in(tmp_path / "new" / "data" / "pacs" / "clinic" / "state.sqlite") == ["in the file", "in the journal"]
    assert not list((tmp_path / "new").rglob("*-wal"))


def test_a_second_back_up_copies_what_is_new_and_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.back_up()
    known = site.contents()
    (site.data / "reports" / "index.html").write_text("another report")
    read: list[str] = []
    take = BackUpFolder.take
    monkeypatch.setattr(BackUpFolder, "take", lambda self, path: (read.append(path.name), take(self, path))[1])
    site.back_up()
    assert read == ["index.html"]
    assert len(site.contents()) == len(known) + 1
    assert len(BackUpFolder(site.kept).names()) == 2


def test_old_back_ups_go_with_what_only_they_held(site: Site, tmp_path: Path) -> None:
    first = site.back_up()
    (site.data / "reports" / "index.html").write_text("another report")
    site.back_up(keep=1)
    kept = BackUpFolder(site.kept)
    assert first not in kept.names()
    needed = {each.sha256 for each in kept.read(kept.names()[0]).files.values() if each.link is None}
    assert {path.name for path in site.contents()} == needed
    site.restore(tmp_path / "new")
    assert (tmp_path / "new" / "data" / "reports" / "index.html").read_text() == "another report"


@pytest.mark.parametrize("at", [1, 5, 9])
def test_a_killed_back_up_is_none_and_the_next_one_goes_on(
    site: Site, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    take = BackUpFolder.take

    def killed(self: BackUpFolder, path: Path) -> str:
        if len(taken) == at:
            raise KeyboardInterrupt
        taken.append(take(self, path))
        return taken[-1]

    with monkeypatch.context() as patched:
        patched.setattr(BackUpFolder, "take", killed)
        with pytest.raises(KeyboardInterrupt):
            site.back_up()
    assert BackUpFolder(site.kept).names() == []
    there = {path: path.stat().st_ino for path in site.contents()}
    assert len(there) == len(set(taken))
    site.back_up()
    assert {path: path.stat().st_ino for path in there} == there
    site.restore(tmp_path / "new")
    assert (tmp_path / "new" / "data" / "weights" / "yolo.pt").read_text() == "content of weights/yolo.pt"


@pytest.mark.parametrize("at", range(1, 22, 3))
def test_a_full_disk_is_named_and_leaves_the_earlier_back_ups_whole(site: Site, at: int) -> None:
    first = site.back_up()
    for name in PLAIN:
        (site.data / name).write_text(f"new {name}")
    said = []
    with failing_disk(site.kept, errno.ENOSPC, at) as disk:
        try:
            site.back_up()
        except BackUpFullError as error:
            said = re.findall("no room is left on the disk of .*--keep", str(error))
    assert len(said) == 1 or disk.struck.startswith("unlink")  # of what is rubbish until the next back-up
    assert first in BackUpFolder(site.kept).names()
    assert check_all(site.kept, site.said.append) == 0
    assert site.back_up() in BackUpFolder(site.kept).names()


def test_a_disk_of_the_data_that_is_full_is_not_taken_for_the_other(site: Site) -> None:
    with failing_disk(site.data, errno.ENOSPC, 1), pytest.raises(module.DiskFullError, match="another data folder"):
        site.back_up()


def test_what_cannot_be_read_ends_it_without_the_name_of_a_film(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: BackUpFolder, path: Path) -> str:
        if path.name == FILM:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return "0" * 64

    monkeypatch.setattr(BackUpFolder, "take", refused)
    monkeypatch.setattr(BackUpFolder, "content", lambda self, sha256: site.data / "pseudonym.key")
    with pytest.raises(UnreadableSourceError, match=r"a file of data/landing/clinic cannot be read") as raised:
        site.back_up()
    assert "YAMADA" not in str(raised.value)


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("landing/clinic/YAMADA HANAKO", "a file of data/landing/clinic"),
        ("reports/worklists", "data/reports/worklists"),
    ],
)
def test_a_folder_that_may_not_be_read_is_named_as_far_as_may_be(
    site: Site, folder: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.data / folder).mkdir()
    sound = os.scandir

    def refused(path: str) -> Any:
        if str(path).endswith(folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return sound(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(UnreadableSourceError, match=rf"^{said} cannot be read") as raised:
        site.back_up()
    assert "YAMADA" not in str(raised.value)


def test_the_account_of_an_image_store_is_copied_before_the_films(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    take = BackUpFolder.take
    monkeypatch.setattr(BackUpFolder, "take", lambda self, path: (order.append(path.name), take(self, path))[1])
    site.back_up()
    assert order.index("database") < order.index(FILM)


@pytest.mark.parametrize("harm", ["flipped", "short", "gone"])
def test_a_damaged_content_is_found_and_nothing_is_put_in_place(site: Site, harm: str, tmp_path: Path) -> None:
    site.back_up()
    film = (site.data / "landing" / "clinic" / "films" / FILM).read_bytes()
    (content,) = [path for path in site.contents() if path.read_bytes() == film]
    content.chmod(0o600)
    match harm:
        case "flipped":
            content.write_bytes(bytes([film[0] ^ 1]) + film[1:])
        case "short":
            content.write_bytes(film[:3])
        case "gone":
            content.unlink()
    with pytest.raises(DamagedBackUpError, match=r"a file of data/landing/clinic is missing or damaged") as raised:
        site.restore(tmp_path / "new")
    assert "YAMADA" not in str(raised.value)
    assert {each.name for each in (tmp_path / "new" / "data").iterdir()} <= {".runs", restoring.STAGED}
    assert check_all(site.kept, site.said.append) == 1
    assert "1 files are damaged: a file of data/landing/clinic" in site.said[-1]
    site.back_up()  # finds the content missing and copies it anew
    assert check_all(site.kept, site.said.append) == 0
    site.restore(tmp_path / "new")
    assert (tmp_path / "new" / "data" / "landing" / "clinic" / "films" / FILM).read_bytes() == film


@pytest.mark.parametrize("harm", ["cut", "changed", "climbs"])
def test_a_damaged_list_is_no_back_up_and_the_next_one_does_without(site: Site, harm: str, tmp_path: Path) -> None:
    name = site.back_up()
    file = site.kept / f"{name}.json"
    match harm:
        case "cut":
            file.write_bytes(file.read_bytes()[:-50])
        case "changed":
            file.write_text(file.read_text().replace("clinic", "cli_ic", 1))
        case "climbs":
            made = BackUpFolder(site.kept).read(name)
            files = {f"data/../../{Path(path).name}": each for path, each in made.files.items()}
            BackUpFolder(site.kept).write(name, BackUp(made.made_s, files, {}))
    with pytest.raises(DamagedBackUpError, match="is damaged and of no use"):
        site.restore(tmp_path / "new")
    assert not (tmp_path / "new" / "data" / "lake").exists()
    second = site.back_up()
    site.restore(tmp_path / "new", second)


def test_nothing_is_restored_over_something_else(site: Site, tmp_path: Path) -> None:
    site.back_up()
    for place in ("data", "home"):
        new = tmp_path / place / "new"
        (new / place).mkdir(parents=True)
        (new / place / "a file").touch()
        with pytest.raises(FolderNotEmptyError, match="nothing is ever restored over something else"):
            site.restore(new)
        assert [each.name for each in new.rglob("*") if each.is_file()] == ["a file"]
    with pytest.raises(FolderNotEmptyError):
        restore(site.study(), site.home, site.kept, None, with_forgotten=False, report=site.said.append)


def test_folders_that_set_up_makes_and_the_page_that_git_keeps_do_not_stand_in_the_way(
    site: Site, tmp_path: Path
) -> None:
    site.back_up()
    new = tmp_path / "new"
    (new / "data" / "landing").mkdir(parents=True)
    (new / "data" / "README.md").write_text("page")
    (new / "home").mkdir()
    (new / "home" / "dagster.yaml").write_text("storage: {}\n")
    site.restore(new)
    assert (new / "home" / "dagster.yaml").read_text() == "storage: {}\n"
    assert (new / "data" / "landing" / "clinic").is_dir()


@pytest.mark.parametrize("at", ["put_in_place", "_put_in_place"])
def test_a_killed_restoring_is_finished_by_the_same_call(
    site: Site, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.back_up()
    calls: list[object] = []
    sound = getattr(restoring, at)

    def killed(*given: Path) -> None:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        sound(*given)

    with monkeypatch.context() as patched:
        patched.setattr(restoring, at, killed)
        with pytest.raises(KeyboardInterrupt):
            site.restore(tmp_path / "new")
    assert not (tmp_path / "new" / "data" / "lake").exists()
    site.restore(tmp_path / "new")
    assert described(tmp_path / "new" / "data" / "lake") == {
        name: each for name, each in described(site.data / "lake").items() if ".partial" not in name
    }
    assert not (tmp_path / "new" / "data" / restoring.STAGED).exists()


def test_what_a_killed_restoring_of_another_back_up_left_is_not_mixed_in(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.data / "lake" / "images" / "ab" / "old.png").write_text("of the first")
    first = site.back_up()
    (site.data / "lake" / "images" / "ab" / "old.png").unlink()
    second = site.back_up()

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    lay_down = restoring._lay_down

    def killed_after_that(*given: Any) -> None:
        lay_down(*given)
        raise KeyboardInterrupt

    for at, end in (("_put_in_place", killed), ("_lay_down", killed_after_that)):
        with monkeypatch.context() as patched:
            patched.setattr(restoring, at, end)
            with pytest.raises(KeyboardInterrupt):
                site.restore(tmp_path / at, first)
    with pytest.raises(FolderNotEmptyError, match=f"restoring {first} was not finished"):
        site.restore(tmp_path / "_put_in_place", second)
    site.restore(tmp_path / "_lay_down", second)
    assert not (tmp_path / "_lay_down" / "data" / "lake" / "images" / "ab" / "old.png").exists()


def test_who_was_forgotten_since_does_not_come_back_unnoticed(site: Site, tmp_path: Path) -> None:
    with_him = site.back_up()
    site.write(ANOTHER)
    told, away = note_forgotten(site.data, [HIM], time.time())
    assert (told, away) == ([site.kept], [])
    assert HIM not in (site.kept / FORGOTTEN_FILE).read_text()
    assert list(json.loads((site.data / FORGOTTEN_FILE).read_text())) == [mark(HIM)]
    without_him = site.back_up()
    with pytest.raises(ForgottenInBackUpError, match="holds 1 patients or institutions that were forgotten after"):
        site.restore(tmp_path / "refused", with_him)
    assert not (tmp_path / "refused").exists()
    site.restore(tmp_path / "later", without_him)
    assert not [line for line in site.said if "was forgotten since" in line]
    site.restore(tmp_path / "meant", with_him, with_forgotten=True)
    assert f"was forgotten since; before anything is run: python -m olvf_assets forget {HIM} --landing" in site.said
    assert mark(HIM) in (tmp_path / "meant" / "data" / FORGOTTEN_FILE).read_text()
    site.back_up(keep=1)
    with pytest.raises(BackUpError, match="holds no back-up"):
        site.restore(tmp_path / "gone", with_him)


def test_whoever_came_again_after_that_is_in_the_later_back_ups_by_right(site: Site, tmp_path: Path) -> None:
    site.back_up()
    note_forgotten(site.data, [HIM], time.time())
    site.back_up()
    site.restore(tmp_path / "new")
    assert pl.read_delta(str(tmp_path / "new" / "data" / "lake" / "tables" / "subjects.delta")).height == 2


def test_a_back_up_folder_that_is_away_is_named_and_told_by_the_next_back_up(site: Site, tmp_path: Path) -> None:
    with_him = site.back_up()
    away = site.kept.rename(tmp_path / "another disk")
    assert note_forgotten(site.data, [HIM], time.time()) == ([], [site.kept])
    away.rename(site.kept)
    site.write(ANOTHER)
    site.back_up()
    with pytest.raises(ForgottenInBackUpError):
        site.restore(tmp_path / "new", with_him)


def test_a_run_that_is_at_work_is_waited_for_and_most_is_copied_meanwhile(site: Site) -> None:
    with hold_data_folder(site.data, "a run", wait=False), pytest.raises(DataFolderInUseError):
        site.back_up()
    assert BackUpFolder(site.kept).names() == []
    assert len(site.contents()) > len(PLAIN) / 2
    site.back_up()
    assert site.said[-2].startswith("back-up ")


def test_a_folder_for_all_to_read_or_within_the_data_is_refused(site: Site) -> None:
    site.kept.mkdir(mode=0o755)
    with pytest.raises(BackUpError, match=r"may be read by others.*chmod 700"):
        site.back_up()
    site.kept = site.data / "kept"
    with pytest.raises(BackUpError, match="lies in what is copied"):
        site.back_up()
    assert not site.kept.exists()


def test_the_key_may_be_left_out_and_that_is_said(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.back_up(with_key=False)
    assert "pseudonym.key is not in it, as asked; without the key patients cannot be linked" in site.said
    site.restore(tmp_path / "new")
    assert not (tmp_path / "new" / "data" / "pseudonym.key").exists()
    (site.data / "pseudonym.key").unlink()
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "a secret of the hospital")
    site.back_up()
    assert (
        "the key for pseudonyms is in OLVF_PSEUDONYM_KEY and not in the back-up; keep a copy of it elsewhere"
        in site.said
    )


def test_books_in_postgresql_are_said_not_to_be_in_it(site: Site, tmp_path: Path) -> None:
    assert books_of(site.home) == "sqlite"
    (site.home / "dagster.yaml").write_text("storage:\n  postgres:\n    postgres_db: {}\n")
    assert books_of(site.home) == "postgres"
    site.back_up()
    assert any("Dagster's books are in PostgreSQL and not in it" in line for line in site.said)
    site.restore(tmp_path / "new")
    assert any("Dagster's books were in PostgreSQL" in line for line in site.said)


def test_the_commands_of_the_door(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(site.home / "history")
    for name, value in (("OLVF_DATA", site.data), ("DAGSTER_HOME", site.home), ("OLVF_PROFILE", "ci")):
        monkeypatch.setenv(name, str(value))

    def called(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["olvf_assets", *words])
        return main()

    assert called("back-up", str(site.kept), "--keep", "0") == 1
    assert called("back-up", str(site.kept), "--keep", "3") == 0
    assert called("back-up", str(site.kept), "--check") == 0
    assert called("restore", str(site.kept)) == 1  # the data folder is not empty
    (tmp_path / "new home").mkdir()
    monkeypatch.setenv("OLVF_DATA", str(tmp_path / "new data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "new home"))
    assert called("restore", str(site.kept)) == 0
    assert (tmp_path / "new data" / "lake" / "images" / "ab" / "ab.png").exists()


def test_runs_that_were_under_way_are_ended_wherever_they_ran(tmp_path: Path) -> None:
    before = {"1": DagsterRunStatus.STARTED, "2": DagsterRunStatus.CANCELING, "3": DagsterRunStatus.SUCCESS}
    tags = {HOST_TAG: "another host", DATA_TAG: "/another/data"}
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        for run_id, status in before.items():
            instance.add_run(DagsterRun("job", run_id, status=status, tags=tags))
        instance.add_run(DagsterRun("job", "of another project", status=DagsterRunStatus.STARTED))
        assert sorted(end_runs_of_before(instance, tmp_path)) == ["1", "2"]
        now = {run.run_id: run.status for run in instance.get_runs()}
    assert now == {
        "1": DagsterRunStatus.FAILURE, "2": DagsterRunStatus.FAILURE, "3": DagsterRunStatus.SUCCESS,
        "of another project": DagsterRunStatus.STARTED,
    }  # fmt: skip
