"""One thing that people are told.

What lives here: its words. What does not: how it came about, how it is sent. Nothing of a patient is in it: names of
tables, checks and institutions, counts, and where to look.
"""

from typing import Literal, NamedTuple

Kind = Literal["run_failed", "check_failed", "site_stale", "test"]


class Message(NamedTuple):
    """What people are told.

    Attributes:
        kind: what it is about.
        subject: in one line.
        lines: what to know and where to look.
        url: of the run in the UI; "" if there is none.
    """

    kind: Kind
    subject: str
    lines: tuple[str, ...] = ()
    url: str = ""

    @property
    def text(self) -> str:
        """Return all of it."""
        return "\n".join([self.subject, *self.lines, *([self.url] if self.url else [])])
