"""Broken DICOM files by the thousand: each gives a row or a refusal with a reason, and shows no identifier.

`OLVF_FUZZ_SECONDS=600 python -m pytest olvf_assets_tests/intake/test_fuzz_dicom.py -s` goes on with other inputs for
so long and prints how many there were.
"""

import hashlib
import logging
import os
import random
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pydicom
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from olvf_assets.intake.headers.reading import ATTRIBUTES, read_header
from olvf_assets.intake.pixels.pixel_data import ATTRIBUTES as PIXEL_ATTRIBUTES
from olvf_assets.intake.pixels.pixels import film_pixels
from olvf_assets.intake.privacy.safe_paths import path_names
from olvf_assets.intake.tables import DICOM_HEADERS
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, content_of, film

PLANTED = ("Yamada", "Taro", "4711007", "19410102", "ACC90017", "Suzuki")
EXAMPLES = 100  # of each kind of file in `make test`
# Tables, texts and numbers that attributes are overwritten with.
WORDS = ("", "0", "-1", "1e400", "85,0", "nan", "Suzuki", "4711007", "19410102", "\\", "1\\2\\3", "9" * 100, "山田")


def baseline() -> bytes:
    """Return a small baseline JPEG, written by Pillow."""
    buffer = BytesIO()
    Image.fromarray(np.linspace(0, 255, 4800).reshape(80, 60).astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def sample(syntax: UID) -> bytes:
    """Return a film of 80 x 60 pixels in a transfer syntax, with planted identifiers."""
    pixels = np.kron(film("one").pixel_array, np.ones((2, 2), np.uint16))
    dataset = film("one", "4711007", Rows=80, Columns=60, PixelData=pixels.tobytes(), SeriesDescription="Suzuki LAT")
    if syntax == JPEGBaseline8Bit:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = pydicom.encaps.encapsulate([baseline()])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    elif syntax.is_compressed:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    return content_of(dataset)


# Without JPEG Lossless: its only decoder, gdcm, aborts its process on damaged data, which costs that film in the one
# that intake gives it, and would cost this test.
SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
    JPEGLSLossless, JPEG2000Lossless, JPEGBaseline8Bit,
)  # fmt: skip


HEADER_BYTES = 1100  # of the samples; most of the damage is done there
VALUES = (b"\x00" * 4, b"\xff" * 4, b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"SQ", b"UN", b"ZZ", b"\xff\xd9", b"\x7f")


def damaged(content: bytes, lots: random.Random) -> bytes:
    """Return a file with one to six spots changed, cut out, doubled or filled, or its end cut off."""
    found = bytearray(content)
    for _ in range(lots.randint(1, 6)):
        reach = HEADER_BYTES if lots.random() < 0.7 else len(found)
        place = lots.randrange(132, max(133, min(reach, len(found))))
        length = lots.choice((1, 2, 4, 8, 40))
        match lots.randrange(7):
            case 0:
                found[place : place + 1] = bytes((lots.randrange(256),))
            case 1:
                value = lots.choice(VALUES)
                found[place : place + len(value)] = value
            case 2:
                del found[place : place + length]
            case 3:
                found[place:place] = found[place : place + length]
            case 4:
                found[place:place] = lots.randbytes(length)
            case 5:
                word = lots.choice(WORDS).encode()
                found[place : place + len(word)] = word
            case _:
                if lots.random() < 0.2:
                    del found[place:]
    return bytes(found)


def rewritten(syntax: UID, lots: random.Random) -> bytes:
    """Return a film of which one to four attributes that are read hold other bytes."""
    dataset = pydicom.dcmread(BytesIO(SAMPLES[syntax]))
    keywords = sorted({*ATTRIBUTES, *PIXEL_ATTRIBUTES} - {"SOPInstanceUID", "SOPClassUID", "SpecificCharacterSet"})
    for keyword in lots.sample(keywords, lots.randint(1, 4)):
        word = lots.choice(WORDS).encode() if lots.random() < 0.7 else lots.randbytes(lots.randrange(12))
        dataset[keyword] = DataElement(Tag(keyword), "OB", word)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return content_of(dataset)


def fuzzed(syntax: UID, seed: int) -> bytes:
    """Return a broken file, the same for the same seed."""
    lots = random.Random(seed)
    content = rewritten(syntax, lots) if lots.random() < 0.4 else SAMPLES[syntax]
    if syntax == DeflatedExplicitVRLittleEndian and lots.random() < 0.7:
        start = content.index(zlib_part(content))
        inside = damaged(bytes(132) + zlib.decompress(content[start:], -zlib.MAX_WBITS), lots)[132:]
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return content[:start] + deflater.compress(inside) + deflater.flush()
    return damaged(content, lots)


def zlib_part(content: bytes) -> bytes:
    """Return what of a deflated file is deflated: the rest behind the file meta information."""
    return content[144 + int.from_bytes(content[140:144], "little") :]


def outcome(content: bytes, folder: Path) -> str:
    """Take one file in, check what each row must hold, and return its refusal or `film`."""
    (folder / "film.dcm").write_bytes(content)
    row = read_header(folder / "film.dcm", NAMES, SETTINGS)
    check(row)
    if row["refusal"] is not None:
        return str(row["refusal"])
    listed = row | {"path": "film.dcm", "sha256": hashlib.sha256(content).hexdigest()}
    headers = pl.DataFrame([listed], schema=DICOM_HEADERS)
    store = ArtifactStore(folder / "lake")
    found = film_pixels(folder, headers, store, NAMES, SETTINGS, paths=path_names(folder, NAMES), workers=1)
    check(found.row(0, named=True))
    return str(found["refusal"][0] or "film")


def check(row: dict[str, Any]) -> None:
    """Look for planted identifiers in what would be shown, and for a detail beside every refusal."""
    shown = " ".join(str(value) for value in row.values())
    assert not [each for each in PLANTED if each in shown], shown
    assert (row["refusal"] is None) == (row["refusal_detail"] is None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    level = logging.getLogger("pydicom").level
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    yield tmp_path_factory.mktemp("fuzz")
    logging.getLogger("pydicom").setLevel(level)


SAMPLES = {syntax: sample(syntax) for syntax in SYNTAXES}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_the_undamaged_samples_are_films(syntax: UID, folder: Path) -> None:
    assert outcome(SAMPLES[syntax], folder) == "film"


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_broken_file_gives_a_row_or_a_refusal_and_shows_no_identifier(syntax: UID, folder: Path) -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    @given(st.integers(0, 2**48))
    def take_in(seed: int) -> None:
        met[outcome(fuzzed(syntax, seed), folder)] += 1

    take_in()
    assert len(met) > 3, met  # a fuzzer that meets one outcome only has damaged nothing


def test_by_hand_for_as_long_as_asked(folder: Path) -> None:
    seconds = float(os.environ.get("OLVF_FUZZ_SECONDS", "0"))
    lots, end, met = random.Random(time.time_ns()), time.monotonic() + seconds, Counter[str]()
    while time.monotonic() < end:
        syntax, seed = lots.choice(SYNTAXES), lots.randrange(2**48)
        try:
            met[outcome(fuzzed(syntax, seed), folder)] += 1
        except Exception as error:
            raise AssertionError(f"{syntax.name}, seed {seed}") from error
    sys.stdout.write(f"{met.total()} files in {seconds:.0f} s: {dict(met.most_common())}\n")
    assert met.total() > 0 or seconds == 0
