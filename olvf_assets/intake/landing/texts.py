"""Text files as other people's programs save them: which encoding, found out from the bytes.

What lives here: UTF-8 and UTF-16 with and without byte order mark, Shift-JIS. What does not: what the text means.
"""

import codecs
import re

BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# What CP932 makes of bytes that stand for nothing.
NO_LETTERS = re.compile("[\x80-\x9f\uf8f0-\uf8f3]")


class NotTextError(ValueError):
    """Bytes are no text in a known encoding (internal: callers name the file)."""


def decoded(content: bytes) -> str:
    """Return the text of a file, without byte order mark. Shift-JIS is Microsoft's CP932, as Japanese Excel writes it.

    Raises:
        NotTextError: neither UTF-8, UTF-16 nor Shift-JIS, or zero bytes in it.
    """
    marked = [encoding for mark, encoding in BYTE_ORDER_MARKS.items() if content.startswith(mark)]
    if not marked and b"\0" in content:  # UTF-16 without a mark: separators and line ends have a zero byte
        marked = ["utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"]
    for encoding in marked or ("utf-8", "cp932"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not NO_LETTERS.search(text) and "\0" not in text:
            return text
    raise NotTextError("neither UTF-8, UTF-16 nor Shift-JIS, or damaged")
