"""What is wrong with a hospital's sheet or box files, collected before saying so.

What lives here: `SheetError` and the list of problems behind it, and how a cell is quoted without giving a person away.
What does not: finding the problems (`sheets.files`, `sheets.reading`, `sheets`, `boxes`).
"""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.privacy.harmless_words import WORD, is_harmless
from olvf_assets.intake.sheets.words import all_words

SHOWN_PROBLEMS = 20
SHOWN_CHARACTERS = 40
MOST_DIGITS, MOST_SINGLE_LETTERS = 3, 2
VERTEBRA = re.compile(r"[A-Za-z]\d{1,2}")
LIKENESS = 0.75  # "frehs" and "nromal" are like a word of ours; a name rarely is
OUR_WORDS = sorted({part for word in all_words() for part in WORD.findall(word.casefold()) if len(part) > 1})


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
    """Return a cell fit for a message: short, and starred wherever it may be a name, an id or a date.

    A sheet whose columns are shifted has names where levels should be. So only the words of our own lists stay, what
    looks like one of them with a slip of the pen, and numbers of up to three digits; row and column lead to the rest.
    """
    words = WORD.findall(value)
    hide_digits = sum(letter.isdigit() for letter in value) > MOST_DIGITS
    shown = WORD.sub(lambda match: match.group() if _is_plain(match.group(), len(words)) else _stars(match), value)
    return (re.sub(r"\d", "#", shown) if hide_digits else shown)[:SHOWN_CHARACTERS]


def _is_plain(word: str, words: int) -> bool:
    if word.isdigit() or VERTEBRA.fullmatch(word):
        return True
    if len(word) == 1 and word.isascii():
        return words <= MOST_SINGLE_LETTERS  # a name may be spaced out: Y A M A D A
    if is_harmless(word) or word.casefold() in OUR_WORDS:
        return True
    # Two Japanese characters too many are no slip of the pen but a surname.
    return word.isascii() and bool(get_close_matches(word.casefold(), OUR_WORDS, n=1, cutoff=LIKENESS))


def _stars(match: re.Match[str]) -> str:
    return "*" * len(match.group())
