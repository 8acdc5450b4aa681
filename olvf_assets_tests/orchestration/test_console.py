"""What a run says on a terminal and in a pipe, and what goes to its log file."""

import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, Definitions, asset, in_process_executor

from olvf_assets.definitions import defs as operations
from olvf_assets.orchestration import console, run_log, terminal
from olvf_assets.orchestration.run_log import KEPT_LOGS, RunLog, RunLogError
from olvf_assets.orchestration.terminal import Terminal, Work, duration
from olvf_assets.study import defs as study
from olvf_assets_tests.orchestration.location_with_console import defs as tables
from olvf_assets_tests.planted_intake import Intake

PROJECT = Path(__file__).parents[2]
LOCATION = "olvf_assets_tests.orchestration.location_with_console"
MOVES = re.compile(r"[\r\x1b]")


class Run:
    """One run in this process: what it says, its log file, Dagster's events."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str], definitions: Definitions, *names: str) -> None:
        from dagster import AssetKey

        console_of = {console.NAME: console.console_logger(data)}
        job = definitions.resolve_implicit_global_asset_job_def()
        if definitions.loggers:
            job = job.with_logger_defs(console_of)
        with DagsterInstance.ephemeral() as instance:
            keys = [AssetKey(name) for name in names] or None
            done = job.execute_in_process(instance=instance, asset_selection=keys, raise_on_error=False)
            self.success = done.success
            self.stored = instance.all_logs(done.run_id)
        self.lines = capsys.readouterr().err.splitlines()
        self.logs = sorted((data / "logs").glob("*.log")) if (data / "logs").is_dir() else []

    def line_of(self, table: str) -> list[str]:
        (line,) = (each for each in self.lines if re.match(rf" *\d+/\d+  {table} ", each))
        return line.split()


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *names: Run(tmp_path, capsys, tables, *names)


def test_a_table_is_one_line_and_all_else_is_in_the_log_file(said: Any) -> None:
    run = said("whole", "by_institution")
    (log,) = run.logs
    assert run.success
    assert run.lines == [
        f"2 tables; all else goes to {log}",
        run.lines[1],
        "warning: by_institution: look at this",
        run.lines[3],
        run.lines[4],
    ]
    assert re.fullmatch(r"1/2  whole           made +\d\.\d s +1,234 rows", run.lines[1])
    assert re.fullmatch(r"2/2  by_institution  made +\d\.\d s +30 rows", run.lines[3])
    assert re.fullmatch(rf"2 made in \d+\.\d s; log file {log}", run.lines[4])
    written = log.read_text()
    for each in ("RUN_START", "STEP_START", "nobody wants to see this", "institution_1: 3/4 films", "RUN_SUCCESS"):
        assert each in written
    assert re.search(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING .*look at this$", written, re.MULTILINE)


def test_dagster_stores_all_that_it_stored(said: Any) -> None:
    run = said("whole", "by_institution")
    stored = [each.user_message for each in run.stored]
    assert "nobody wants to see this" in stored
    assert stored.count("look at this") == 2
    kinds = [each.get_dagster_event().event_type_value for each in run.stored if each.is_dagster_event]
    assert kinds.count("ASSET_MATERIALIZATION") == 4
    assert {"PIPELINE_START", "STEP_START", "STEP_SUCCESS", "PIPELINE_SUCCESS"} <= set(kinds)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("one_partition", ["made", "3", "rows"]),
        ("unchanged_by_metadata", ["unchanged", "7", "rows"]),
        ("unchanged_by_observation", ["unchanged"]),
        ("unchanged_by_line", ["unchanged"]),
        ("made_but_for_a_partition", ["made", "2", "rows"]),
        ("made_again", ["made", "0", "rows"]),
    ],
)
def test_made_and_unchanged_are_told_apart_and_rows_counted_once(said: Any, table: str, expected: list[str]) -> None:
    run = said(table)
    place, name, state, _, _, *rows = run.line_of(table)
    assert (place, name) == ("1/1", table)
    assert [state, *rows] == expected
    assert run.lines[-1].startswith(f"1 {expected[0]} in ")


def test_a_rule_that_stops_nothing_is_a_warning(said: Any) -> None:
    run = said("odd")
    assert run.success
    assert run.lines[1] == "warning: odd: check few does not hold: 3 rows break it"
    assert run.line_of("odd")[2] == "made"


@pytest.mark.parametrize(
    ("table", "last"),
    [
        ("bad_sheet", "bad_sheet: readers.csv: row 2, column label: 'frehs' is not allowed"),
        ("defect", "defect: TypeError: nobody thought of this (the stack trace is in the log file)"),
        ("broken_rule", "broken_rule was not written. 2 rows break one_label"),
    ],
)
def test_what_failed_stands_last_once_and_without_a_stack_trace(said: Any, table: str, last: str) -> None:
    run = said(table)
    assert not run.success
    assert run.line_of(table)[2] == "failed"
    assert run.lines[-1] == last
    assert len(run.lines) == 4
    assert "Traceback" not in "".join(run.lines)
    assert "Stack Trace" in run.logs[0].read_text()


def test_what_rests_on_a_failed_table_is_counted(said: Any) -> None:
    run = said("bad_sheet", "rests_on_it", "whole")
    assert re.match(r"1 made, 1 failed, 1 not made because of that in \d", run.lines[-2])
    assert not any("rests_on_it" in line for line in run.lines)


def test_verbose_brings_the_rest(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLVF_VERBOSE", "1")
    run = said("by_institution")
    assert any(line.endswith("nobody wants to see this") for line in run.lines)
    assert sum("STEP_START" in line for line in run.lines) == 1
    assert run.line_of("by_institution")[2] == "made"
    monkeypatch.setenv("OLVF_VERBOSE", "0")
    assert len(said("by_institution").lines) == 4


def test_where_no_log_file_can_be_written_that_is_said_and_the_run_goes_on(said: Any, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file in place of the folder")
    run = said("whole")
    assert run.success
    assert run.lines[0] == (
        f"warning: {tmp_path / 'logs'} cannot be written to (File exists), so this run has no log file; "
        "give this user the right to write there"
    )
    assert run.lines[1] == "1 table"
    assert run.lines[-1].startswith("1 made in ")


def test_a_disk_that_fills_up_ends_the_log_and_not_the_run(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnAFullDisk(RunLog):
        def __init__(self, folder: Path, run_id: str) -> None:
            super().__init__(folder, run_id)
            os.close(self.descriptor)
            self.descriptor = os.open("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(console, "RunLog", OnAFullDisk)
    run = said("whole")
    assert run.success
    assert [line for line in run.lines if line.startswith("warning")] == [
        f"warning: {run.logs[0]} cannot be written any further (No space left on device)"
    ]
    assert run.line_of("whole")[2] == "made"


def test_a_defect_of_the_console_ends_no_run(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "duration", lambda seconds: 1 / 0)
    assert said("whole").success


def test_jobs_without_a_console_of_ours_keep_dagsters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    @asset
    def another() -> None:
        return

    run = Run(tmp_path, capsys, Definitions(assets=[another], executor=in_process_executor))
    assert run.success
    assert any(" - dagster - DEBUG - " in line and "STEP_SUCCESS" in line for line in run.lines)
    assert run.logs == []


@pytest.mark.parametrize("definitions", [operations, study])
def test_both_views_have_the_console(definitions: Definitions) -> None:
    repository = definitions.get_repository_def()
    for job in repository.get_all_jobs():
        assert job.loggers[console.NAME].description == "One line a table; all else in a log file."


def test_only_the_newest_log_files_stay(tmp_path: Path) -> None:
    for number in range(KEPT_LOGS + 5):
        path = tmp_path / f"{number:03d}.log"
        path.write_text("")
        os.utime(path, (number, number))
    (tmp_path / "notes.txt").write_text("of somebody else")
    log = RunLog(tmp_path, "9f2c1a5e-0000-4000-8000-000000000001")
    log.write("a line\nand \udce9 another")
    log.close()
    assert len(list(tmp_path.glob("*.log"))) == KEPT_LOGS
    assert not (tmp_path / "005.log").exists()
    assert (tmp_path / "006.log").exists()
    assert (tmp_path / "notes.txt").exists()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{6}-9f2c1a5e\.log", log.path.name)
    assert log.path.read_text() == "a line\nand \\udce9 another\n"


def test_a_log_in_a_folder_that_is_none_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(RunLogError, match="cannot be written to \\(Not a directory\\)"):
        RunLog(tmp_path / "data" / run_log.LOGS, "id")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    each = Clock()
    monkeypatch.setattr(terminal.time, "monotonic", each)
    return each


def test_the_time_left_follows_the_pace_of_this_run(clock: Clock) -> None:
    work = Work("detector_model", "1/1", began_s=100.0)
    work.tell("detector: going on after epoch 20/30")
    assert (work.done, work.total, work.left_s()) == (20, 30, None)
    clock.now = 140.0
    work.tell("detector: epoch 22/30, loss 0.123")
    assert work.left_s() == 160.0
    clock.now = 150.0
    assert work.left_s() == 150.0
    assert work.times() == "50.0 s, about 2 min 30 s left"
    clock.now = 1000.0
    assert work.left_s() == 0.0


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["5/50 films cropped", "50/50 films cropped", "institution_2: 2/11 films cropped"], (2, 11)),
        (["10/10 films", "1/10 films"], (1, 10)),
        (["12/150 epochs", "1/5 folds of resnet50"], (12, 150)),
        (["1/5 folds of resnet50", "12/150 epochs"], (12, 150)),
        (["films/2/3.dcm is refused", "a 3/4x b", "5/3 films", "0/0 films", "1.5/2 mm"], (0, 0)),
    ],
)
def test_lines_with_a_count_move_the_bar(lines: list[str], expected: tuple[int, int]) -> None:
    work = Work("vertebra_crops", "1/1")
    for each in lines:
        work.tell(each)
    assert (work.done, work.total) == expected
    assert work.text == lines[-1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_said_as_a_person_says_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_in_a_pipe_long_work_is_told_once_a_minute(clock: Clock, tmp_path: Path) -> None:
    with (tmp_path / "said").open("w+") as stream:
        shown = Terminal(stream, live=False)
        shown.work = Work("resnet50_checkpoints", "7/68", began_s=100.0)
        for clock.now in (100.0, 130.0, 165.0, 170.0, 225.0):
            shown.work.tell(f"{int(clock.now - 99) // 10}/30 epochs")
            shown.tell_progress()
        stream.seek(0)
        assert stream.read().splitlines() == [
            "7/68  resnet50_checkpoints  6/30 epochs  (1 min 5 s, about 4 min 20 s left)",
            "7/68  resnet50_checkpoints  12/30 epochs  (2 min 5 s, about 3 min 8 s left)",
        ]


def test_a_reader_that_has_gone_ends_no_run(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    shown = Terminal(os.fdopen(writing, "w"), live=False)
    shown.line("first")
    shown.line("second")
    Terminal(None, live=True).line("nobody sees this")


def environment(data: Path, **more: str) -> dict[str, str]:
    (data / "home").mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "OLVF_VERBOSE", "COLUMNS")}
    return {
        **kept, "OLVF_DATA": str(data), "DAGSTER_HOME": str(data / "home"), "PYTHONPATH": str(PROJECT),
        "TERM": "xterm", "PYTHONUTF8": "1", **more,
    }  # fmt: skip


COMMAND = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", LOCATION, "--select"]


def test_on_a_terminal_a_line_moves_and_other_code_s_output_is_kept_away(tmp_path: Path) -> None:
    process, terminal_of_it = pty.fork()
    if process == 0:
        os.chdir(PROJECT)
        os.execve(sys.executable, [*COMMAND, "whole,by_institution"], environment(tmp_path))
    shown = b"".join(iter(lambda: _read(terminal_of_it), b"")).decode()
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert re.search(r"1/2  whole           made +\d\.\d s +1,234 rows", shown)
    assert re.search(r"\r\x1b\[2K.*1/2  whole  .*\d\.\d s", shown)  # a line that is written over
    assert shown.index("\x1b[?25l") < shown.rindex("\x1b[?25h")  # the cursor is hidden, and comes back
    assert re.search(r"2 made in \d+\.\d s; log file .*\.log\r\n$", shown)
    (log,) = (tmp_path / "logs").iterdir()
    for each in ("a library prints", "a program writes", "a library warns"):
        assert each not in shown
        assert each in log.read_text()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # so a terminal says that its last program has ended
        return b""


def test_the_readme_s_command_says_plain_lines_in_a_pipe(tmp_path: Path) -> None:
    command = ". ./env.sh && dagster asset materialize --select 'consensus_labels,exclusions'"
    seen = environment(tmp_path, VENV=sys.prefix, OLVF_PROFILE="ci")
    done = subprocess.run(["bash", "-c", command], cwd=PROJECT, env=seen, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")  # the data folder is empty
    assert not MOVES.search(done.stderr)
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"2 tables; all else goes to .*/logs/.*\.log", lines[0])
    assert re.fullmatch(r"1/2  consensus_labels  failed +\d+\.\d s", lines[1])
    assert re.match(r"1 failed, 1 not made because of that in ", lines[2])
    assert lines[3].startswith("consensus_labels: ")
    assert "table patients is not in the lake; materialise it first" in lines[3]
    assert lines[-1] == "Error: Materialization failed."
    assert len(lines) <= 6


def test_the_gate_over_real_hospitals_is_a_line_a_table(intake: Intake) -> None:
    lines = intake.said.decode().splitlines()
    (count,) = (int(line.split()[0]) for line in lines if "; all else goes to " in line)
    made = [line.split()[1] for line in lines if re.match(r" *\d+/\d+  \w+ +made ", line)]
    assert len(made) == len(set(made)) == count
    assert {"films", "quarantine", "subjects", "reader_labels", "warehouse"} <= set(made)
    assert sum("bad_sheet is left out of this run" in line for line in lines) == 1
    assert not any(" DEBUG " in line for line in lines)
    assert not MOVES.search(intake.said.decode())
    (log,) = (intake.data / "logs").iterdir()
    assert "RUN_SUCCESS" in log.read_text()


def test_the_default_logger_is_asked_for_by_dagster_itself() -> None:
    """The one place where Dagster offers no other way; a release that looks elsewhere shows here."""
    from dagster import default_system_loggers

    ((default, settings),) = default_system_loggers(None)
    assert default is console.console_of_the_job
    assert settings == {"name": "dagster", "log_level": "DEBUG"}
    assert logging.getLoggerClass() is logging.Logger
