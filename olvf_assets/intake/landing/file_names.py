"""Names of files whose bytes are no UTF-8, as text that every table, digest and message can hold.

What lives here: the way from a name on the disk to such a text and back. What does not: which names are shown
(`intake.privacy.safe_paths`).

Japanese Windows writes names in Shift-JIS, and old archives and shares hand on the bytes. Python keeps such a byte as
half of a surrogate pair (PEP 383), which no text of UTF-8 can hold. In our texts byte 0x83 is U+F783, of Unicode's
private use area; a name that really holds such a letter has each of its bytes written so, which keeps the way back
exact.
"""

import os
import re
import unicodedata
from pathlib import Path

_FIRST, _PYTHONS_FIRST = 0xF780, 0xDC80  # byte 0x80, here and in PEP 383
_BYTE, _PYTHONS_BYTE = re.compile("[\uf780-\uf7ff]"), re.compile("[\udc80-\udcff]")


def text_of(name: str) -> str:
    """Return the text for a file's name or path as `os` gives it; most are their own."""
    bare = _BYTE.sub(lambda match: match.group().encode().decode("ascii", "surrogateescape"), name)
    return _PYTHONS_BYTE.sub(lambda match: chr(ord(match.group()) - _PYTHONS_FIRST + _FIRST), bare)


def on_disk(folder: Path, path: str) -> Path:
    """Return where the file lies whose path below `folder` has this text."""
    return folder / _name_of(path)


def readable(text: str) -> str | None:
    """Return a text with its bytes read as Shift-JIS; the text itself where it has none; None if they are not that.

    Letters that a machine made for itself (Shift-JIS F040 and up) mean nothing elsewhere, and give None too.
    """
    if not _BYTE.search(text):
        return text
    try:
        found = os.fsencode(_name_of(text)).decode("cp932")
    except UnicodeDecodeError:
        return None
    return None if any(unicodedata.category(letter) == "Co" for letter in found) else found


def _name_of(text: str) -> str:
    return _BYTE.sub(lambda match: chr(ord(match.group()) - _FIRST + _PYTHONS_FIRST), text)
