"""Values of DICOM attributes as they come, and the judgement on a file.

What lives here: reading numbers, code strings and text that was written in whatever character set; `Judgement`. What
does not: what a value means for the study (`header_reading`, `spacing`, `view_rules`).
"""

import re
import unicodedata
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

# What Japanese consoles write when the header declares another character set, or none (PS3.3 C.12.1.1.2 wants it said).
UNDECLARED_ENCODINGS = ("utf-8", "cp932", "euc_jp")
ESCAPED_ENCODINGS = ("iso2022_jp_2",)  # read as another, its escape sequences are ASCII that may look like LL or AP


class Judgement(NamedTuple):
    """A refusal (reason code, detail for the technologist), or none."""

    reason: str | None
    detail: str | None


ACCEPTED = Judgement(None, None)


def text(header: Dataset, keyword: str) -> str:
    """Return an attribute as text, in the character set that the header declares; empty when absent."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def readings(header: Dataset, keyword: str) -> Iterator[str]:
    """Yield an attribute's text as declared and, where it is not plain ASCII, in every other encoding it fits.

    Compatibility forms are folded (NFKC): half-width katakana of ISO 2022 IR 13 become full-width, full-width Latin
    letters ASCII.
    """
    tag = tag_for_keyword(keyword)
    element = header.get_item(tag) if tag is not None and tag in header else None
    raw = getattr(element, "value", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about character sets that are not what they say
        yield unicodedata.normalize("NFKC", text(header, keyword))
    escaped = isinstance(raw, bytes) and b"\x1b" in raw
    if isinstance(raw, bytes) and (escaped or not raw.isascii()):
        for encoding in ESCAPED_ENCODINGS if escaped else UNDECLARED_ENCODINGS:
            try:
                yield unicodedata.normalize("NFKC", raw.decode(encoding)).strip()
            except UnicodeDecodeError:
                continue


def letters(value: Any) -> str:
    """Return a code string as capitals, digits and _ only."""
    return re.sub(r"[^A-Z0-9_]", "", str(value or "").upper())


def number(value: Any) -> float | None:
    """Return a value as a number, None when empty.

    Raises:
        ValueError, TypeError: it is none.
    """
    return None if value is None or value == "" else float(value)


def integer(value: Any) -> int | None:
    """Return a value as a whole number, None when empty.

    Raises:
        ValueError, TypeError: it is none.
    """
    return None if value is None or value == "" else int(value)


def within(value: float | None, bounds: tuple[float, float]) -> float | None:
    """Return a value if it lies within bounds (inclusive), else None."""
    return value if value is not None and bounds[0] <= value <= bounds[1] else None
