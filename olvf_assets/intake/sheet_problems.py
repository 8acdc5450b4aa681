"""What is wrong with a hospital's sheet or box files, collected before saying so.

What lives here: `SheetError` and the list of problems behind it, and how a cell is quoted without giving a person away.
What does not: finding the problems (`sheet_files`, `sheet_reading`, `sheets`, `boxes`).
"""

import re
from dataclasses import dataclass, field

from olvf_assets.foundation.errors import OlvfError

SHOWN_PROBLEMS = 20
SHOWN_CHARACTERS = 40
LONG_NUMBER = re.compile(r"\d{4,}")


class SheetError(OlvfError):
    """A sheet holds something that is not allowed; nothing of it was loaded. Lists the first problems with rows."""


@dataclass
class Problems:
    """What is wrong with one sheet (or with the box files) so far.

    Attributes:
        title: the file or files, as the message begins.
    """

    title: str
    lines: list[str] = field(default_factory=list)

    def add(self, where: str, value: str | None, what: str) -> None:
        """Note a problem: where it is ("row 3, column sex"), the cell (None: not quoted), what is allowed instead."""
        quoted = "" if value is None else f"{quotable(value)!r} "
        self.lines.append(f"{where + ': ' if where else ''}{quoted}{what}")

    def error(self, where: str, what: str) -> SheetError:
        """Note a problem after which the sheet cannot be read on, and return the error to raise."""
        self.add(where, None, what)
        return self._error()

    def raise_if_any(self) -> None:
        """Raise `SheetError` with the first problems, if there are any."""
        if self.lines:
            raise self._error()

    def _error(self) -> SheetError:
        count = len(self.lines)
        listed = "\n".join(f"  {line}" for line in self.lines[:SHOWN_PROBLEMS])
        more = f"\n  ... and {count - SHOWN_PROBLEMS} more" if count > SHOWN_PROBLEMS else ""
        return SheetError(
            f"{self.title}: {count} problem{'s' if count > 1 else ''}; nothing of this sheet was loaded. "
            f"Correct it and start again.\n{listed}{more}"
        )


def quotable(value: str) -> str:
    """Return a cell fit for a message: short, and without the digits of a number that may be an id or a date."""
    return LONG_NUMBER.sub(lambda match: "#" * len(match.group()), value)[:SHOWN_CHARACTERS]
