"""A walk over the elements of a DICOM data set, bounded and without recursion.

What lives here: elements one after the other, whatever is between those that are wanted. What does not: how a file is
encoded (`dicom_files`), what values mean (`headers.reading`).
"""

from collections.abc import Collection
from io import SEEK_END
from struct import Struct
from typing import BinaryIO, NamedTuple

from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from olvf_assets.foundation.errors import OlvfError

UNDEFINED = 0xFFFFFFFF
# Float, double float and integer pixel data (PS3.6): the last element of a film that is of interest.
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
ITEM_END, SEQUENCE_END = 0xFFFEE00D, 0xFFFEE0DD
# PS3.5 7.1.2: these have a length of 16 bit, those of 32 bit after two empty bytes; later ones are like the latter.
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
TELLING_LONG_VRS = frozenset(b"SQ UC UR UT".split())
# A lookup table of 16 bit has 131,072 bytes; nothing else that is wanted comes near.
LARGEST_VALUE_BYTES = 1 << 20
# Headers of radiographs have some hundred elements, those in sequences counted.
MOST_ELEMENTS = 100_000


class UnreadableDicomError(OlvfError):
    """A DICOM file whose data set cannot be walked through (internal; becomes a refusal). `reason` is the code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class PixelElement(NamedTuple):
    """Where the pixel data of a file are.

    Attributes:
        stream: the file, or what it inflates to.
        offset: of the value, bytes.
        length: that the element claims, bytes; None when undefined: fragments follow (PS3.5 A.4).
        present: bytes from `offset` to the end of the stream.
        vr: value representation, `OW` where the file does not say.
        is_integer: Pixel Data (7FE0,0010), not one of the two of floating point.
    """

    stream: BinaryIO
    offset: int
    length: int | None
    present: int
    vr: str
    is_integer: bool


class Walk:
    """Walks over the elements of a data set; `pixel_element` is set when it came to one."""

    def __init__(self, stream: BinaryIO, implicit: bool, little: bool) -> None:
        self.stream, self.implicit, self.little = stream, implicit, little
        self.read, self.seek = stream.read, stream.seek
        order = "<" if little else ">"
        self.unpack_tag_length = Struct(f"{order}HHL").unpack
        self.unpack_tag_vr_length = Struct(f"{order}HH2sH").unpack
        self.unpack_length = Struct(f"{order}L").unpack
        self.steps = 0
        self.pixel_element: PixelElement | None = None
        self.position = stream.tell()
        self.end = self.seek(0, SEEK_END)
        self.seek(self.position)

    def elements(self, wanted: Collection[int], groups: range | None = None) -> dict[BaseTag, RawDataElement]:
        """Return the wanted elements up to the pixel data, or as long as they are of these groups."""
        found: dict[BaseTag, RawDataElement] = {}
        while (head := self.head()) is not None:
            start, tag, vr, length = head
            if (groups is not None and tag >> 16 not in groups) or tag >= PIXEL_TAGS[0]:
                if groups is None and tag in PIXEL_TAGS:
                    claimed = None if length == UNDEFINED else length
                    shown = vr.decode() if vr in LONG_VRS else "OW"
                    self.pixel_element = PixelElement(
                        self.stream, self.position, claimed, self.end - self.position, shown, tag == PIXEL_TAGS[-1]
                    )
                else:
                    self._go(start)
                break
            kept = tag in wanted
            first = self.position
            if length == UNDEFINED:
                self._skip_nested(implicit=vr == b"UN")
                length = self.position - first
                self.seek(first if kept else self.position)
            elif self.position + length > self.end:
                raise _ended(length)
            if kept and length <= LARGEST_VALUE_BYTES:
                value = self.read(length)
                self.position = first + length
                key = BaseTag(tag)
                found[key] = RawDataElement(key, _known(vr), length, value, first, vr is None, self.little)
            else:
                self._go(first + length)
        return found

    def head(self) -> tuple[int, int, bytes | None, int] | None:
        """Read where the next element starts, its tag, VR (None: implicit) and length; None at the end."""
        start = self.position
        first = self.read(8)
        if len(first) < 8:
            return None
        self.steps += 1
        if self.steps > MOST_ELEMENTS:
            detail = f"more than {MOST_ELEMENTS} elements stand before the pixel data; no radiograph has so many"
            raise UnreadableDicomError("bad_header", detail)
        self.position = start + 8
        group, element, vr, length = self.unpack_tag_vr_length(first)
        tag = group << 16 | element
        if group == 0xFFFE or self.implicit or not is_vr(vr):
            return start, tag, None, self.unpack_tag_length(first)[2]
        if vr in LONG_VRS or (vr not in SHORT_VRS and length == 0 and self._has_long_length(tag)):
            bytes_of_length = self.read(4)
            if len(bytes_of_length) < 4:
                raise _ended()
            self.position += 4
            length = self.unpack_length(bytes_of_length)[0]
        return start, tag, vr, length

    def _has_long_length(self, tag: int) -> bool:
        """Return whether an element of unknown VR goes on with a length of 32 bit: another follows where that ends."""
        bytes_of_length = self.read(4)
        follows = False
        if len(bytes_of_length) == 4:
            length = self.unpack_length(bytes_of_length)[0]
            self.seek(min(self.position + 4 + length, self.end))
            group, element, vr, _ = self.unpack_tag_vr_length(self.read(8).ljust(8, b"\0"))
            follows = length == UNDEFINED or ((group << 16 | element) > tag and is_vr(vr))
        self.seek(self.position)
        return follows

    def _skip(self, length: int) -> None:
        if self.position + length > self.end:
            raise _ended(length)
        self._go(self.position + length)

    def _go(self, position: int) -> None:
        self.position = position
        self.seek(position)

    def _skip_nested(self, implicit: bool) -> None:
        """Go behind the end of a sequence, or of fragments, of undefined length, without recursion.

        What is inside an element of VR UN is implicit (PS3.5 6.2.2).
        """
        outer = self.implicit
        enclosing = [outer]
        self.implicit = outer or implicit
        try:
            while enclosing:
                head = self.head()
                if head is None:
                    raise _ended()
                _, tag, vr, length = head
                if tag in (ITEM_END, SEQUENCE_END):
                    self.implicit = enclosing.pop()
                elif length != UNDEFINED:
                    self._skip(length)
                else:
                    enclosing.append(self.implicit)
                    self.implicit = self.implicit or vr == b"UN"
        finally:
            self.implicit = outer


def _known(vr: bytes | None) -> str | None:
    """Return a VR that says how to read a value, None for one of mere bytes: then the tag's own holds."""
    return vr.decode() if vr in SHORT_VRS or vr in TELLING_LONG_VRS else None


def _ended(claimed: int | None = None) -> UnreadableDicomError:
    said = "" if claimed is None else f": an element claims {claimed} bytes, more than there are"
    return UnreadableDicomError("truncated", f"the file ends within its header{said}; copy it again from the PACS")


def is_vr(letters: bytes) -> bool:
    """Return whether two bytes may be a value representation: capital letters."""
    return letters.isalpha() and letters.isupper()
