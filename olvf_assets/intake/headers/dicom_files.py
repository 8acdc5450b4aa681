"""The data set of one DICOM file, as far as the study needs it, whatever else the file holds.

What lives here: finding out how the data set is really encoded, and inflating it within bounds. What does not: walking
over its elements (`element_walk`), what the values mean (`headers.reading`), pixels (`pixel_data`).

pydicom converts the values. Its reader is not used, because what the study does not need must not cost a film: it reads
every element into memory, sequences by recursion, deflated files of any size, takes an unknown VR for one with a length
of 16 bit, and trusts the file's word on byte order.
"""

import zlib
from collections.abc import Collection, MutableMapping
from functools import cache
from io import BytesIO
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
from olvf_assets.intake.headers.element_walk import PixelElement, UnreadableDicomError, Walk, is_vr
from olvf_assets.intake.headers.values import uid_of

PREAMBLE_BYTES, LETTERS = 128, b"DICM"
HIGHEST_FIRST_GROUP = 0x0028
TRANSFER_SYNTAX, SOP_CLASS, CHARACTER_SET = 0x00020010, 0x00020002, 0x00080005
OVERLAY_BITS, OVERLAY_BIT_POSITION = 0x60000100, 0x60000102  # of the first of 16 overlays; the others: + 2 a group
OVERLAYS = tuple(number << 17 for number in range(16))
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
    meta = Walk(handle, implicit=False, little=True)
    facts = meta.elements((TRANSFER_SYNTAX, SOP_CLASS), groups=range(2, 3))
    said = _uid(facts, TRANSFER_SYNTAX)
    stream = _inflated(handle) if said == DeflatedExplicitVRLittleEndian else handle
    command = Walk(stream, implicit=True, little=True)
    command.elements((), groups=range(1))
    implicit, little = _encoding(stream, said)
    body = Walk(stream, implicit, little)
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
    return uid_of((value or b"").decode("ascii", errors="replace"))


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
    return not is_vr(first[4:6]), little


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
    """Return whether an element of group 0008 comes next, with a VR or a short length."""
    start = handle.tell()
    first = handle.read(8)
    handle.seek(start)
    return first[:2] == b"\x08\x00" and (is_vr(first[4:6]) or first[6:8] == b"\x00\x00")


@cache
def tags_of(keywords: tuple[str, ...]) -> frozenset[int]:
    """Return the tags of attributes, and those that tell which bits of the pixels are overlays."""
    overlays = [tag + overlay for overlay in OVERLAYS for tag in (OVERLAY_BITS, OVERLAY_BIT_POSITION)]
    return frozenset([*(int(Tag(keyword)) for keyword in keywords), *overlays])
