"""The data set of one DICOM file, as far as the study needs it, whatever else the file holds.

What lives here: finding out how the data set is really encoded, walking over its elements and keeping the wanted ones,
with bounds on memory and steps. What does not: what the values mean (`header_reading`), pixels (`pixels`).

pydicom converts the values. Its reader is not used, because what the study does not need must not cost a film: it reads
every element into memory, sequences by recursion, deflated files of any size, takes an unknown VR for one with a length
of 16 bit, and trusts the file's word on byte order.
"""

import zlib
from collections.abc import Collection, MutableMapping
from functools import cache
from io import SEEK_END, BytesIO
from struct import Struct
from typing import BinaryIO, NamedTuple

from pydicom import Dataset
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from olvf_assets.foundation.errors import OlvfError

PREAMBLE_BYTES, LETTERS = 128, b"DICM"
UNDEFINED = 0xFFFFFFFF
HIGHEST_FIRST_GROUP = 0x0028
# Float, double float and integer pixel data (PS3.6): the last element of a film that is of interest.
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
TRANSFER_SYNTAX, SOP_CLASS, CHARACTER_SET = 0x00020010, 0x00020002, 0x00080005
OVERLAY_BITS, OVERLAY_BIT_POSITION = 0x60000100, 0x60000102  # of the first of 16 overlays; the others: + 2 a group
OVERLAYS = tuple(number << 17 for number in range(16))
# PS3.5 7.1.2: these have a length of 16 bit, those of 32 bit after two empty bytes; later ones are like the latter.
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
# A lookup table of 16 bit has 131,072 bytes; nothing else that is wanted comes near.
LARGEST_VALUE_BYTES = 1 << 20
# Headers of radiographs have some hundred elements, those in sequences counted.
MOST_ELEMENTS = 100_000
# A film of 10,000 x 10,000 pixels of 16 bit with its header.
LARGEST_INFLATED_BYTES = 1 << 28
_INFLATED_AT_A_TIME = 1 << 20

NATIVE_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


class NoDicomFileError(OlvfError):
    """A file that has not the letters DICM at byte 128 (internal)."""


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


class DicomFile(NamedTuple):
    """The wanted elements of a file, with `file_meta`, and its pixel data; None when there are none."""

    header: Dataset
    pixel_element: PixelElement | None


def read_dicom(handle: BinaryIO, wanted: Collection[int]) -> DicomFile:
    """Read the elements `wanted` (tags) of the data set's top level that stand before the pixel data.

    `file_meta.TransferSyntaxUID` of the header is the one that the data set is really encoded in, where the file is
    wrong about byte order, about explicit or implicit VR, or about uncompressed pixels; empty where nothing tells.
    Values of more than `LARGEST_VALUE_BYTES` are left out.

    Raises:
        NoDicomFileError: the letters DICM are missing.
        UnreadableDicomError: `truncated`, `bad_header` (more than `MOST_ELEMENTS` elements), `too_large` (inflates to
            more than any film has).
        OSError: the file cannot be read.
    """
    handle.seek(0)
    if handle.read(PREAMBLE_BYTES + len(LETTERS))[PREAMBLE_BYTES:] != LETTERS:
        raise NoDicomFileError("the letters DICM are missing at byte 128")
    meta = _Walk(handle, implicit=False, little=True)
    facts = meta.elements((TRANSFER_SYNTAX, SOP_CLASS), groups=range(2, 3))
    said = _uid(facts, TRANSFER_SYNTAX)
    stream = _inflated(handle) if said == DeflatedExplicitVRLittleEndian else handle
    command = _Walk(stream, implicit=True, little=True)
    command.elements((), groups=range(1))
    implicit, little = _encoding(stream, said)
    body = _Walk(stream, implicit, little)
    found: MutableMapping[BaseTag, DataElement | RawDataElement] = {**body.elements(wanted)}
    header = Dataset(found)
    header.set_original_encoding(implicit, little, _character_set(header))
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = _real_syntax(said, implicit, little, body.pixel_element)
    if SOP_CLASS in facts:
        header.file_meta.MediaStorageSOPClassUID = _uid(facts, SOP_CLASS)
    return DicomFile(header, body.pixel_element)


def _uid(elements: dict[BaseTag, RawDataElement], tag: int) -> UID:
    value = elements[BaseTag(tag)].value if tag in elements else b""
    return UID((value or b"").decode("ascii", errors="replace").strip(" \0"))


def _encoding(stream: BinaryIO, said: UID) -> tuple[bool, bool]:
    """Return whether a data set is implicit VR and little endian, from its first element rather than the file's word.

    The first group is 0008 or another low one: one that is high as the file says, and low the other way round, is read
    the other way round. The two capital letters of a VR are no length that a first element has.
    """
    start = stream.tell()
    first = stream.read(6)
    stream.seek(start)
    if len(first) < 6:
        return said == ImplicitVRLittleEndian, said != ExplicitVRBigEndian
    little = said != ExplicitVRBigEndian
    low, high = int.from_bytes(first[:2], "little"), int.from_bytes(first[:2], "big")
    group, swapped = (low, high) if little else (high, low)
    if swapped <= HIGHEST_FIRST_GROUP < group:
        little = not little
    return not _is_vr(first[4:6]), little


def _is_vr(letters: bytes) -> bool:
    return letters.isalpha() and letters.isupper()


def _real_syntax(said: UID, implicit: bool, little: bool, pixels: PixelElement | None) -> UID:
    encapsulated = pixels is not None and pixels.length is None
    if said == DeflatedExplicitVRLittleEndian or encapsulated or (said and said.is_private):
        return said
    if implicit:
        return ImplicitVRLittleEndian if little else said
    if pixels is None and said not in (*NATIVE_SYNTAXES, ""):
        return said
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _character_set(header: Dataset) -> str | list[str]:
    try:
        said = header.get_item(CHARACTER_SET).value if CHARACTER_SET in header else b""
        return convert_encodings([each.strip() for each in (said or b"").decode("ascii").split("\\")])
    except (UnicodeDecodeError, LookupError, ValueError, TypeError):
        return default_encoding


def _inflated(handle: BinaryIO) -> BinaryIO:
    """Return the deflated rest of a file, inflated; the handle itself where the rest is not deflated at all."""
    start = handle.tell()
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    parts, size = [], 0
    try:
        while not inflater.eof and (deflated := inflater.unconsumed_tail or handle.read(_INFLATED_AT_A_TIME)):
            parts.append(inflater.decompress(deflated, _INFLATED_AT_A_TIME))
            size += len(parts[-1])
            if size > LARGEST_INFLATED_BYTES:
                detail = f"the deflated file unpacks to more than {LARGEST_INFLATED_BYTES >> 20} MiB; no film does"
                raise UnreadableDicomError("too_large", detail)
    except zlib.error as error:
        handle.seek(start)
        if not parts and _looks_plain(handle):
            return handle
        raise UnreadableDicomError("truncated", "the deflated data are damaged; copy the file again") from error
    if not inflater.eof:
        handle.seek(start)
        if _looks_plain(handle):
            return handle
        raise UnreadableDicomError("truncated", "the deflated data end too early; copy the file again from the PACS")
    return BytesIO(b"".join(parts))


def _looks_plain(handle: BinaryIO) -> bool:
    start = handle.tell()
    first = handle.read(6)
    handle.seek(start)
    return first[:2] == b"\x08\x00" and (_is_vr(first[4:6]) or first[2:4] in (b"\x00\x00", b"\x05\x00", b"\x08\x00"))


class _Walk:
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
        if group == 0xFFFE or self.implicit or not _is_vr(vr):
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
            follows = length == UNDEFINED or ((group << 16 | element) > tag and _is_vr(vr))
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
    """Return a VR that pydicom knows, None for one to be looked up by the tag."""
    return vr.decode() if vr is not None and vr != b"UN" and (vr in SHORT_VRS or vr in LONG_VRS) else None


def _ended(claimed: int | None = None) -> UnreadableDicomError:
    said = "" if claimed is None else f": an element claims {claimed} bytes, more than there are"
    return UnreadableDicomError("truncated", f"the file ends within its header{said}; copy it again from the PACS")


@cache
def tags_of(keywords: tuple[str, ...]) -> frozenset[int]:
    """Return the tags of attributes, and those that tell which bits of the pixels are overlays."""
    overlays = [tag + overlay for overlay in OVERLAYS for tag in (OVERLAY_BITS, OVERLAY_BIT_POSITION)]
    return frozenset([*(int(Tag(keyword)) for keyword in keywords), *overlays])
