"""Values of DICOM attributes as they come, and the judgement on a file.

What lives here: reading numbers, code strings and text that was written in whatever character set; `Judgement`. What
does not: what a value means for the study (`header_reading`, `spacing`, `view_rules`).
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

# What Japanese consoles write when the header declares another character set, or none (PS3.3 C.12.1.1.2 wants it said).
UNDECLARED_ENCODINGS = ("utf-8", "cp932", "euc_jp")
ESCAPED_ENCODINGS = ("iso2022_jp_2",)  # read as another, its escape sequences are ASCII that may look like LL or AP

# Value representations of characters (PS3.5 6.2).
TEXT_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)


class Judgement(NamedTuple):
    """A refusal (reason code, detail for the technologist), or none."""

    reason: str | None
    detail: str | None


ACCEPTED = Judgement(None, None)


def text(header: Dataset, keyword: str) -> str:
    """Return an attribute as text, in the character set that the header declares; empty when absent.

    One plain ASCII value, nearly always, is taken from the file's bytes: pydicom's conversion costs ten times as much.
    """
    raw = _raw_text(header, keyword)
    if raw is not None and raw.isascii() and b"\x1b" not in raw and b"\\" not in raw:
        return raw.decode("ascii").strip(" \0\t\r\n")
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _raw_text(header: Dataset, keyword: str) -> bytes | None:
    """Return the bytes of a text attribute as they are in the file, None where there are none or they are no text."""
    tag, text_vr = _tag_and_vr(keyword)
    element = header.get_item(tag) if tag in header else None
    if not isinstance(element, RawDataElement) or (element.VR or text_vr) not in TEXT_VRS:
        return None
    return element.value if isinstance(element.value, bytes) else None


@cache
def _tag_and_vr(keyword: str) -> tuple[BaseTag, str]:
    tag = Tag(keyword)
    return tag, dictionary_VR(tag)


def readings(header: Dataset, keyword: str) -> Iterator[str]:
    """Yield an attribute's text as declared and, where it is not plain ASCII, in every other encoding it fits.

    Compatibility forms are folded (NFKC): half-width katakana of ISO 2022 IR 13 become full-width, full-width Latin
    letters ASCII.
    """
    raw = _raw_text(header, keyword)
    yield unicodedata.normalize("NFKC", text(header, keyword))
    escaped = raw is not None and b"\x1b" in raw
    if raw is not None and (escaped or not raw.isascii()):
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
