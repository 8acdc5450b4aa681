"""Broken sheets, box files, class lists, TOML and ZIP archives by the thousand: a table or an error that we meant.

`OLVF_FUZZ_SECONDS=600 python -m pytest olvf_assets_tests/intake/test_fuzz_texts.py -k by_hand -s` goes on with other
inputs for so long on each kind and prints how many there were.
"""

import json
import os
import random
import sys
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.boxes.classes import ClassListError, ClassLists
from olvf_assets.intake.boxes.formats import FormatError, read_coco, read_voc, read_yolo
from olvf_assets.intake.landing.archives import archive_members, member_digest
from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.sheets import sheets
from olvf_assets_tests.intake.samples import NAMES, READERS, SETTINGS, SUBJECTS

PLANTED = ("Yamada", "Hanako", "山田", "4711007", "1941-01-02")
EXAMPLES = 60  # of each kind in `make test`
WORDS = (
    "", "0", "-1", "1e400", "9" * 5000, "nan", "Yamada", "4711007", "1941-01-02", '"', "'", "\0", "\n", "\r\n", ",",
    ";", "\t", "=1+1", "#REF!", "L1", "fresh", "山田", "\ud800", "﻿", "[[[", "{", "}", "]]", "<a>", "</", "&lol;",
    "- &a", "*a", "!!python/object:os.system", "9999-12-31", "0001-01-01", "令和6年5月1日", "x" * 3000,
)  # fmt: skip
VOC = (
    "<annotation><filename>Yamada.png</filename><size><width>60</width><height>80</height></size><object><name>L1</name>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object></annotation>"
)
COCO = {
    "images": [{"id": 1, "file_name": "Hanako/1.png", "width": 60, "height": 80}],
    "annotations": [{"image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4], "note": "4711007"}],
    "categories": [{"id": number, "name": f"L{number + 1}"} for number in range(5)],
}


def workbook() -> bytes:
    """Return a workbook with the sheet of subjects."""
    buffer = BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Yamada")
        for number, line in enumerate(SUBJECTS.splitlines()):
            sheet.write_row(number, 0, [*line.split(","), "Hanako"])
    return buffer.getvalue()


def archive() -> bytes:
    """Return a ZIP archive of three files in two ways of packing."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for number, method in enumerate((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)):
            packed.writestr(f"Yamada/{number}", bytes(range(256)) * 4, method)
    return buffer.getvalue()


SHEET = SUBJECTS.replace("A-1", "4711007") + "4711008,F,80,2019-04-03,,\n"


def sheet_of(name: str, read: Callable[..., object]) -> Callable[[Path, bytes], object]:
    """Return what reads a sheet of a landing folder whose other sheets are sound."""

    def run(folder: Path, content: bytes) -> object:
        for old in folder.iterdir():
            old.unlink()
        (folder / "subjects.csv").write_text(SUBJECTS)
        if not name.startswith("subjects.csv"):
            (folder / "subjects.csv").unlink(missing_ok=name.startswith("subjects"))
        if not name.startswith("subjects"):
            (folder / "subjects.csv").write_text(SUBJECTS)
        (folder / name).write_bytes(content)
        return read(folder, NAMES, SETTINGS)

    return run


def institution(folder: Path, content: bytes) -> object:
    """Read `institution.toml`."""
    (folder / "institution.toml").write_bytes(content)
    return read_institution(folder)


def class_list(name: str) -> Callable[[Path, bytes], object]:
    """Return what reads a class list of this name."""
    return lambda folder, content: ClassLists({name: name}, lambda path: content).levels("boxes/1.txt")


def unpacked(folder: Path, content: bytes) -> object:
    """List and read every member of an archive."""
    path = folder / "a.zip"
    path.write_bytes(content)
    found: list[str] = []
    for member in archive_members(path):
        try:
            found.append(member_digest((path, member.name)))
        except OlvfError as error:
            found.append(str(error))
    return found


KINDS: dict[str, tuple[bytes, Callable[[Path, bytes], object]]] = {
    "subjects as CSV": (SHEET.encode(), sheet_of("subjects.csv", sheets.subjects)),
    "subjects as Shift-JIS": (SHEET.replace("sex", "性別").encode("cp932"), sheet_of("subjects.csv", sheets.subjects)),
    "subjects as workbook": (workbook(), sheet_of("subjects.xlsx", sheets.subjects)),
    "readers as CSV": (READERS.encode(), sheet_of("readers.csv", sheets.reader_labels)),
    "institution.toml": (b'name = "Yamada"\nrole = "external"\nnote = "Hanako"\n', institution),
    "YOLO": (b"0 0.5 0.1 0.2 0.1\n1 0.5 0.3 0.2 0.1\n", lambda _, content: read_yolo(content, None)),
    "VOC": (VOC.encode(), lambda _, content: read_voc(content)),
    "COCO": (json.dumps(COCO).encode(), lambda _, content: read_coco(content)),
    "data.yaml": (b"names: [L1, L2, L3, L4, L5]\npath: Yamada\n", class_list("boxes/data.yaml")),
    "notes.json": (json.dumps({"categories": COCO["categories"]}).encode(), class_list("boxes/notes.json")),
    "obj.names": (b"L1\nL2\nL3\nL4\nL5\n", class_list("boxes/obj.names")),
    "ZIP": (archive(), unpacked),
}


def broken(content: bytes, seed: int) -> bytes:
    """Return a file with one to six spots changed, cut out, doubled, filled or overwritten with a word."""
    lots = random.Random(seed)
    found = bytearray(content)
    for _ in range(lots.randint(1, 6)):
        place = lots.randrange(len(found) + 1)
        word = lots.choice(WORDS).encode("utf-8", "surrogatepass")
        match lots.randrange(7):
            case 0:
                found[place : place + 1] = lots.randbytes(1)
            case 1:
                found[place : place + len(word)] = word
            case 2:
                del found[place : place + lots.choice((1, 2, 8, 40))]
            case 3:
                found[place:place] = found[place : place + lots.choice((1, 8, 100))] * lots.choice((1, 2, 50))
            case 4:
                found[place:place] = word
            case 5:
                found[place:place] = lots.randbytes(lots.choice((1, 4, 40)))
            case _:
                if lots.random() < 0.3:
                    del found[place:]
    return bytes(found)


def look_at(kind: str, folder: Path, seed: int) -> None:
    """Read one broken file: a result, or an error that we meant and that names nobody."""
    sound, read = KINDS[kind]
    content = broken(sound, seed)
    said = ""
    try:
        read(folder, content)
    except (OlvfError, FormatError, ClassListError) as error:
        said = f"{error} {error.args}"
    except Exception as error:
        raise AssertionError(f"{kind}, seed {seed}: {type(error).__name__}") from error
    assert [each for each in PLANTED if each in said] == [], (kind, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_file_is_read(kind: str, tmp_path: Path) -> None:
    sound, read = KINDS[kind]
    folder = tmp_path / "institution_1"
    folder.mkdir()
    assert read(folder, sound) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_gives_a_result_or_an_error_that_names_nobody(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "institution_1"
    folder.mkdir()

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(st.integers(0, 2**32))
    def run(seed: int) -> None:
        look_at(kind, folder, seed)

    run()


@pytest.mark.parametrize("kind", KINDS)
def test_by_hand_as_many_as_time_allows(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "institution_1"
    folder.mkdir()
    end = time.monotonic() + float(os.environ.get("OLVF_FUZZ_SECONDS", "0"))
    count = 0
    while count == 0 or time.monotonic() < end:
        look_at(kind, folder, 2**33 + count)
        count += 1
    sys.stdout.write(f"{kind}: {count} inputs\n")
