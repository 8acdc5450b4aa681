"""Values of DICOM attributes as they come, and the judgement on a file.

What lives here: reading numbers, code strings and text that was written in whatever character set; `Judgement`. What
does not: what a value means for the study (`headers.reading`, `spacing`, `view_rules`).
"""

import math
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, NamedTuple

from pydicom import Dataset
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

# What Japanese consoles write when the header declares another character set, or none (PS3.3 C.12.1.1.2 wants it said).
UNDECLARED_ENCODINGS = ("utf-8", "cp932", "euc_jp")
ESCAPED_ENCODINGS = ("iso2022_jp_2",)  # read as another, its escape sequences are ASCII that may look like LL or AP

# Value representations of characters (PS3.5 6.2).
TEXT_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)

_NUMBER = re.compile(r"(?P<number>[-+]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][-+]?[0-9]{1,3})?)\s*(?P<unit>[a-zA-Z]*)")
LONGEST_NUMBER = 64  # characters; DS has 16
# Value representations of whole numbers: bytes and whether signed.
_WHOLE_NUMBER_BYTES = {"US": (2, False), "SS": (2, True), "UL": (4, False), "SL": (4, True), "US or SS": (2, False)}


class Judgement(NamedTuple):
    """A refusal (reason code, detail for the technologist), or none."""

    reason: str | None
    detail: str | None


ACCEPTED = Judgement(None, None)


def text(header: Dataset, keyword: str) -> str:
    """Return an attribute as text, in the character set that the header declares; empty when absent or unreadable.

    One plain ASCII value, nearly always, is taken from the file's bytes: pydicom's conversion costs ten times as much.
    """
    raw = _raw_text(header, keyword)
    if raw is not None and raw.isascii() and b"\x1b" not in raw and b"\\" not in raw:
        return raw.decode("ascii").strip(" \0\t\r\n")
    try:
        value = header.get(keyword)
    except Exception:  # of many kinds, raised by pydicom for values that break their value representation
        return "" if raw is None else raw.decode("latin-1").strip(" \0\t\r\n")
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(str(each) for each in value).strip()
    return "" if value is None else str(value).strip()


def values(header: Dataset, keyword: str) -> list[str]:
    """Return the values of an attribute as texts, without spaces around them; none when it is absent or empty."""
    whole = text(header, keyword)
    return [each.strip(" \0\t\r\n") for each in whole.split("\\")] if whole else []


def items(header: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none when it is absent or unreadable."""
    try:
        return [item for item in header.get(keyword) or [] if isinstance(item, Dataset)]
    except Exception:  # see `text`
        return []


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


def uid_of(value: object) -> UID:
    """Return a UID, also one that is against the rules, without the warning of pydicom that repeats it."""
    return UID(str(value or "").strip(" \0"), validation_mode=IGNORE)


def letters(value: Any) -> str:
    """Return a code string as capitals, digits and _ only."""
    return re.sub(r"[^A-Z0-9_]", "", str(value or "").upper())


def number(written: str, units: dict[str, float] | None = None) -> float | None:
    """Return a number as people and consoles write it (`85`, `85.0`, `85,0`, `1100 mm`); None for what is none.

    Args:
        written: the text.
        units: factor of each unit, in capitals, that may stand behind the number.
    """
    short = written if len(written) <= LONGEST_NUMBER else ""
    found = _NUMBER.fullmatch(unicodedata.normalize("NFKC", short).strip())
    if found is None:
        return None
    factor = 1.0 if not found["unit"] else (units or {}).get(found["unit"].upper())
    value = float(found["number"].replace(",", "."))
    return value * factor if factor is not None and math.isfinite(value) else None


def integer(header: Dataset, keyword: str) -> int | None:
    """Return an attribute as a whole number, its first value if there are several; None when absent or no number."""
    tag, dictionary_vr = _tag_and_vr(keyword)
    element = header.get_item(tag) if tag in header else None
    if isinstance(element, RawDataElement) and (element.VR or dictionary_vr) in _WHOLE_NUMBER_BYTES:
        size, signed = _WHOLE_NUMBER_BYTES[element.VR or dictionary_vr]
        value = element.value if isinstance(element.value, bytes) else b""
        order: Literal["little", "big"] = "little" if element.is_little_endian else "big"
        return int.from_bytes(value[:size], order, signed=signed) if len(value) >= size else None
    written = values(header, keyword)
    whole = number(written[0]) if written else None
    return int(whole) if whole is not None and whole.is_integer() else None


def within(value: float | None, bounds: tuple[float, float]) -> float | None:
    """Return a value if it lies within bounds (inclusive), else None."""
    return value if value is not None and bounds[0] <= value <= bounds[1] else None
