"""What a person sees of a run: one line after the other, and below them what is being worked on.

What lives here: lines and the live line on a terminal or in a pipe, how progress and time left are told, keeping what
other code prints away from the terminal. What does not: what is said (`console.py`), the log file (`run_log.py`).
"""

import atexit
import os
import re
import sys
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

STANDARD_OUT, STANDARD_ERROR = 1, 2
REFRESHES_PER_SECOND = 4
BAR_WIDTH = 24
SILENCE_S = 60.0  # in a pipe, after so long without a line the progress is told in one
COUNT = re.compile(r"(?<![\w/.])(\d+)/(\d+)(?![\w/.])")  # 40/200, and no part of a path


@dataclass
class Work:
    """A table that is being made, and how far it is.

    Attributes:
        name: the table's.
        place: which of how many it is, such as "12/68".
        began_s: when, on the clock that does not jump.
        text: what its body said last.
        done: pieces done.
        total: pieces in all; 0 where its body counts none.
    """

    name: str
    place: str
    began_s: float = field(default_factory=time.monotonic)
    text: str = ""
    done: int = 0
    total: int = 0
    _first: tuple[int, float] = (0, 0.0)
    _last_s: float = 0.0

    def tell(self, text: str) -> None:
        """Take what the body says: a line with a count, such as "40/200 films", moves the bar.

        A body that counts in two units at once (five folds, 150 epochs) is shown in the finer one.
        """
        self.text = text.partition("\n")[0]
        if (found := COUNT.search(text)) is None:
            return
        done, total = int(found[1]), int(found[2])
        coarser = total < self.total and self.done < self.total
        if coarser or not 0 <= done <= total or not total:
            return
        now = time.monotonic()
        if total != self.total or done < self.done:
            self._first = (done, now)  # what was there before this run took no time
        self.done, self.total, self._last_s = done, total, now

    def left_s(self) -> float | None:
        """Return the seconds left, as the pace so far has it; None while there is none."""
        first_done, first_s = self._first
        if not self.total or self.done <= first_done:
            return None
        pace_s = (self._last_s - first_s) / (self.done - first_done)
        return max(0.0, pace_s * (self.total - self.done) - (time.monotonic() - self._last_s))

    def took_s(self) -> float:
        """Return the seconds since it was begun."""
        return time.monotonic() - self.began_s

    def times(self) -> str:
        """Return the time it took so far and the time left, in words."""
        left = self.left_s()
        return duration(self.took_s()) + ("" if left is None else f", about {duration(left, whole=True)} left")


def duration(seconds: float, *, whole: bool = False) -> str:
    """Return seconds as a person says them: "0.5 s", "3 min 20 s", "2 h 5 min"; `whole` leaves out the tenths."""
    if seconds < 59.95:
        return f"{seconds:.0f} s" if whole else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class OtherOutput:
    """What other code prints, written to a file in place of standard output and error until the run ends.

    Done below Python, so that programs and libraries that write by themselves are kept away as well.

    Args:
        descriptor: of the open file.
    """

    def __init__(self, descriptor: int) -> None:
        _flush()
        self._kept = [(each, os.dup(each)) for each in (STANDARD_OUT, STANDARD_ERROR)]
        for each, _ in self._kept:
            os.dup2(descriptor, each)

    def give_back(self) -> None:
        """Let other code print again."""
        _flush()
        while self._kept:
            each, kept = self._kept.pop()
            os.dup2(kept, each)
            os.close(kept)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def own_stream() -> IO[str] | None:
    """Return standard error under a descriptor of our own: Dagster captures the common one while steps run.

    None where there is no standard error, or only Python has one, as in a test.
    """
    try:
        if sys.stderr.fileno() != STANDARD_ERROR:
            return None
    except (OSError, AttributeError):  # no file, or closed from the start
        return None
    return os.fdopen(os.dup(STANDARD_ERROR), "w", encoding=sys.stderr.encoding, errors="backslashreplace")


def can_move(stream: IO[str]) -> bool:
    """Return whether a line may move on a stream: a terminal that can do that and that no other program shares."""
    of_the_ui = sys.argv[1:2] == ["api"]  # so Dagster's daemon starts runs, on the terminal of `make ui`
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not of_the_ui


class Terminal:
    """Where a run's lines go.

    Args:
        stream: the terminal or pipe; None if there is none.
        live: whether to keep a line below the others that moves.
    """

    def __init__(self, stream: IO[str] | None, *, live: bool) -> None:
        self.work: Work | None = None
        self._stream = stream
        self._last_line_s = time.monotonic()
        self._console: Console | None = None
        self._live: Live | None = None
        if stream is not None and live:
            self._begin_to_move(stream)

    def _begin_to_move(self, stream: IO[str]) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._console = Console(file=stream, highlight=False)
        self._spinner = Spinner("dots" if self._console.encoding.startswith("utf") else "line")
        self._live = Live(
            console=self._console, get_renderable=self._live_line, refresh_per_second=REFRESHES_PER_SECOND,
            transient=True, redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip
        self._live.start()
        atexit.register(self.stop_moving)  # a line that moves hides the cursor

    def line(self, text: str, style: str = "") -> None:
        """Show a line that stays; `style` is a colour for terminals."""
        self._last_line_s = time.monotonic()
        if self._stream is None:
            return
        try:
            if self._console is not None:
                from rich.text import Text

                self._console.print(Text(text, style=style), soft_wrap=True)
            else:
                self._stream.write(f"{text}\n")
                self._stream.flush()
        except OSError:  # whoever read the pipe has gone; the log file has it all
            self._stream = None

    def tell_progress(self) -> None:
        """Where nothing moves, show how far the work is once in a while, so that nobody thinks it hangs."""
        if self.work is not None and self._live is None and time.monotonic() - self._last_line_s >= SILENCE_S:
            self.line(f"{self.work.place}  {self.work.name}  {self.work.text}  ({self.work.times()})")

    def stop_moving(self) -> None:
        """Take the line that moves away."""
        self.work = None
        if self._live is not None:
            self._live.stop()
            self._live = None
            atexit.unregister(self.stop_moving)

    def close(self) -> None:
        """End it; what is said after that is not shown."""
        self.stop_moving()
        if self._stream is not None and self._stream is not sys.stderr:
            self._stream.close()
        self._stream = None

    def _live_line(self) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        work = self.work
        if work is None:
            return Text("")
        bar = ProgressBar(total=work.total, completed=work.done, width=BAR_WIDTH) if work.total else Text("")
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for ratio in (None, None, None, 1, None):  # what the body says takes the room that the others leave
            line.add_column(ratio=ratio, no_wrap=True)
        line.add_row(self._spinner, Text(f"{work.place}  {work.name}"), bar, Text(work.text), Text(work.times()))
        return line
