"""What a run says while it goes on: one line a table, one that moves below them, the warnings, and what failed, last.

What lives here: Dagster's events and log lines as a person wants to read them. What does not: the lines on the screen
(`terminal.py`), the file that all of it goes to (`run_log.py`), what Dagster itself stores and its UI shows.
"""

import ast
import logging
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import dagster._loggers
from dagster import (
    AssetCheckSeverity,
    DagsterEvent,
    DagsterEventType,
    InitLoggerContext,
    LoggerDefinition,
    colored_console_logger,
    logger,
)

from olvf_assets.foundation.tables import PARTITION_ROWS, ROWS, UNCHANGED
from olvf_assets.orchestration.run_log import LOGS, RunLog, RunLogError
from olvf_assets.orchestration.terminal import OtherOutput, Terminal, Work, can_move, duration, own_stream

NAME = "console"  # under which a run config names Dagster's own, too
VERBOSE = "OLVF_VERBOSE"
INTERRUPTED = "DagsterExecutionInterruptedError"
STOPPED = "The run was stopped. What was finished is kept: the same command goes on where it stopped."
OURS = "olvf_assets."
COLOURS = {
    "made": "",
    "unchanged": "dim",
    "stopped": "yellow",
    "failed": "bold red",
    "warning": "yellow",
    "error": "red",
}
_consoles: dict[str, "RunConsole"] = {}


class RunConsole(logging.Handler):
    """Tells one run.

    Args:
        log: where everything goes; None if it cannot be written.
        terminal: where the rest goes that a person wants to see.
        other: what other code prints, kept away from the terminal until the run ends; None where it may pass.
        verbose: show everything on the terminal as well.
    """

    def __init__(self, log: RunLog | None, terminal: Terminal, other: OtherOutput | None, *, verbose: bool) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.log, self.terminal, self.other, self.verbose = log, terminal, other, verbose
        self.tables: list[str] = []
        self.began_s = time.monotonic()
        self.states: Counter[str] = Counter()
        self.failures: list[str] = []
        self.not_made: list[str] = []
        self.rows: list[tuple[bool, int]] = []
        self.unchanged, self.part_unchanged, self.whole_told = False, False, False
        self.warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to the log file and show what of it a person wants to see."""
        try:
            self._write(self.format(record))
            told: dict[str, Any] = getattr(record, "dagster_meta", {})
            event: DagsterEvent | None = told.get("dagster_event")
            if event is not None:
                self._take_event(event)
            elif told:
                self._take_line(record.levelno, str(told["orig_message"]), told.get("step_key"))
            self.terminal.tell_progress()
        except Exception:
            self.let_go()
            self.handleError(record)  # as all of Python's handlers do: what is said must not end what is done

    def let_go(self) -> None:
        """Leave the terminal to other code again."""
        self.terminal.stop_moving()
        if self.other is not None:
            self.other.give_back()

    def _write(self, line: str) -> None:
        if self.verbose:
            self.terminal.line(line)
        try:
            if self.log is not None:
                self.log.write(line)
        except RunLogError as error:
            self.log = None
            self._warn("warning", str(error))

    def _take_line(self, level: int, text: str, table: str | None) -> None:
        work = self.terminal.work
        if text.startswith("Dependencies for step ") and level == logging.ERROR and table:
            self.not_made.append(table)
        elif level >= logging.WARNING:
            self._warn("error" if level >= logging.ERROR else "warning", f"{table}: {text}" if table else text)
        elif level == logging.INFO and work is not None and table == work.name:
            self.unchanged = self.unchanged or text.startswith("unchanged: ")
            work.tell(text)

    def _take_event(self, event: DagsterEvent) -> None:
        match event.event_type:
            case DagsterEventType.ENGINE_EVENT:
                self._begin_run(event)
            case DagsterEventType.STEP_START:
                place = f"{self.states.total() + 1:>{len(str(len(self.tables)))}}/{len(self.tables)}"
                self.terminal.work = Work(str(event.step_key), place)
                self.rows, self.unchanged, self.part_unchanged, self.whole_told = [], False, False, False
            case DagsterEventType.ASSET_MATERIALIZATION:
                self._note(event.materialization.metadata, part=event.materialization.partition is not None)
            case DagsterEventType.ASSET_OBSERVATION:
                observed = event.asset_observation_data.asset_observation.metadata
                self.unchanged = self.unchanged or _is_marked_unchanged(observed)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                self._take_check(event)
            case DagsterEventType.STEP_SUCCESS:
                unchanged = self.unchanged or (self.part_unchanged and not self.whole_told)
                self._end_table("unchanged" if unchanged else "made")
            case DagsterEventType.STEP_FAILURE:
                self._fail_table(event)
            case DagsterEventType.STEP_SKIPPED:
                self.not_made.append(str(event.step_key))
            case DagsterEventType.RUN_FAILURE:
                if not self.failures:
                    self.failures.append(_reason(event.job_failure_data.error) or str(event.message))
                self._end_run()
            case DagsterEventType.RUN_CANCELED:
                self.failures = self.failures or [STOPPED]
                self._end_run()
            case DagsterEventType.RUN_SUCCESS:
                self._end_run()

    def _begin_run(self, event: DagsterEvent) -> None:
        keys = event.engine_event_data.metadata.get("step_keys")
        if keys is not None and not self.tables:
            self.tables = ast.literal_eval(str(keys.value))
            where = "" if self.log is None else f"; all else goes to {_short(self.log.path)}"
            self.terminal.line(f"{len(self.tables)} table{'s' * (len(self.tables) != 1)}{where}")

    def _note(self, metadata: Any, *, part: bool) -> None:
        for key in (ROWS, PARTITION_ROWS):
            if key in metadata:
                self.rows.append((not part, int(metadata[key].value)))
        if part:  # what one of several partitions is says nothing of the table
            self.part_unchanged = self.part_unchanged or _is_marked_unchanged(metadata)
        else:
            self.unchanged, self.whole_told = self.unchanged or _is_marked_unchanged(metadata), True

    def _take_check(self, event: DagsterEvent) -> None:
        """Warn of a broken rule that stops nothing; the others end their table, which says why."""
        found = event.asset_check_evaluation_data
        if found.passed or found.severity != AssetCheckSeverity.WARN:
            return
        rows = found.metadata.get("breaking_rows")
        said = found.description or ("" if rows is None else f"{rows.value} rows break it")
        self._warn("warning", f"{event.step_key}: check {found.check_name} does not hold: {said}")

    def _end_table(self, state: str) -> None:
        work, self.terminal.work = self.terminal.work, None
        if work is None:
            return
        self.states[state] += 1
        whole = [count for is_whole, count in self.rows if is_whole]
        rows = whole[:1] or ([sum(count for _, count in self.rows)] if self.rows else [])
        width = max(map(len, self.tables), default=0)
        line = f"{work.place}  {work.name:<{width}}  {state:<9}{duration(work.took_s()):>12}"
        self.terminal.line(line + "".join(f"{each:>10,} row{'s' * (each != 1)}" for each in rows), COLOURS[state])

    def _fail_table(self, event: DagsterEvent) -> None:
        failure = event.step_failure_data
        if failure.error is not None and failure.error.cls_name == INTERRUPTED:
            self._end_table("stopped")
            self.failures.append(STOPPED)
            return
        self._end_table("failed")
        said = failure.user_failure_data.description if failure.user_failure_data else None
        text = said or _reason(failure.error)
        self.failures.append(text if text.startswith(f"{event.step_key} ") else f"{event.step_key}: {text}")

    def _warn(self, kind: str, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            self.terminal.line(f"{kind}: {text}", COLOURS[kind])

    def _end_run(self) -> None:
        self.let_go()
        counts = [f"{self.states[state]} {state}" for state in COLOURS if self.states[state]]
        if self.not_made:
            counts.append(f"{len(self.not_made)} not made because of that")
        took = duration(time.monotonic() - self.began_s)
        where = "" if self.log is None else f"; log file {_short(self.log.path)}"
        self.terminal.line(f"{', '.join(counts) or 'nothing made'} in {took}{where}")
        for each in self.failures:
            self.terminal.line(each, COLOURS["failed"])
        self.terminal.close()
        if self.log is not None:
            self.log.close()
            self.log = None


def _is_marked_unchanged(metadata: Any) -> bool:
    return UNCHANGED in metadata and bool(metadata[UNCHANGED].value)


def console_logger(data: Path) -> LoggerDefinition:
    """Return the logger of a code location's runs, by default and where a run config names `console`.

    Args:
        data: the data folder, in which log files lie.
    """

    @logger(config_schema=colored_console_logger.config_schema, description="One line a table; all else in a log file.")
    def console(context: InitLoggerContext) -> logging.Logger:
        run_id = str(context.run_id)
        if run_id not in _consoles:  # Dagster asks several times in a run
            _consoles[run_id] = _open_console(data, run_id)
        return _logger_of(_consoles[run_id])

    dagster._loggers.colored_console_logger = console_of_the_job
    return console


@logger(config_schema=colored_console_logger.config_schema)
def console_of_the_job(context: InitLoggerContext) -> logging.Logger:
    """Return the console of the job that runs; jobs that have none of their own keep Dagster's.

    Dagster takes a code location's `loggers` only in runs whose config names them, which neither `dagster asset
    materialize` nor a button of the UI does. In all others it takes what its module attribute holds: this.
    """
    if context.run_id in _consoles:  # also where a run fails before its job is known
        return _logger_of(_consoles[context.run_id])
    own = None if context.job_def is None else context.job_def.loggers.get(NAME)
    if own is None or own is console_of_the_job:
        own = colored_console_logger
    made: logging.Logger = own.logger_fn(context)
    return made


def _logger_of(console: RunConsole) -> logging.Logger:
    made = logging.Logger("olvf", logging.DEBUG)
    made.addHandler(console)
    return made


def _open_console(data: Path, run_id: str) -> RunConsole:
    verbose = os.environ.get(VERBOSE, "0") not in ("", "0")
    log, problem = None, ""
    try:
        log = RunLog(data / LOGS, run_id)
    except RunLogError as error:
        problem = str(error)
    stream = own_stream()
    terminal = Terminal(stream or sys.stderr, live=not verbose and stream is not None and can_move(stream))
    other = None if log is None or verbose or stream is None else OtherOutput(log.descriptor)
    console = RunConsole(log, terminal, other, verbose=verbose)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _last_words
    if problem:
        console.terminal.line(f"warning: {problem}", COLOURS["warning"])
    return console


def _last_words(*raised: Any) -> None:
    """Show what ends the process on the terminal: else it would go to the log file."""
    for each in _consoles.values():
        each.let_go()
    sys.__excepthook__(*raised)


def _reason(error: Any) -> str:
    """Return what an error says: the first one that we raised on purpose, else the one that all others come from."""
    if error is None:
        return ""
    each = error
    while each is not None:
        text = str(each.message).strip()
        if text.startswith(OURS):
            return text.split(": ", 1)[-1]
        each = each.cause
    return f"{text} (the stack trace is in the log file)"


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
