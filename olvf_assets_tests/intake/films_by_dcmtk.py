"""One small film in every form that DCMTK can write: the shipped reference files, and how they were made.

What lives here: the commands, the folder with their results (`films_by_dcmtk/`), its table of pixel hashes, and the
program that writes both anew where DCMTK is installed: `python -m olvf_assets_tests.intake.films_by_dcmtk`. What does
not: the tests that need no DCMTK (`test_decoders.py`), those that call it (`servers/test_dcmtk.py`).

The hashes are of the pixels as DCMTK itself decodes them, little endian, without padding.
"""

import csv
import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from olvf_assets_tests.intake.samples import film, write

FOLDER = Path(__file__).with_suffix("")
TABLE = FOLDER / "films.csv"
EIGHT_BIT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


class Form(NamedTuple):
    """How one file is written: from which of the two plain films, and by which command (input and output follow)."""

    name: str
    source: str  # plain: 14 bit, plain_8_bit: the same film in 8 bit
    command: tuple[str, ...]


FORMS = (
    Form("implicit", "plain", ("dcmconv", "+ti")),
    Form("big_endian", "plain", ("dcmconv", "+tb")),
    Form("big_endian_8_bit", "plain_8_bit", ("dcmconv", "+tb")),
    Form("deflated", "plain", ("dcmconv", "+td")),
    Form("undefined_lengths", "plain", ("dcmconv", "+te", "-e", "-g")),
    Form("rle", "plain", ("dcmcrle",)),
    Form("rle_8_bit", "plain_8_bit", ("dcmcrle",)),
    Form("jpeg_lossless_sv1", "plain", ("dcmcjpeg", "+e1")),
    Form("jpeg_lossless", "plain", ("dcmcjpeg", "+el")),
    Form("jpeg_lossless_predictor_2", "plain", ("dcmcjpeg", "+el", "+sv", "2")),
    Form("jpeg_lossless_in_fragments", "plain", ("dcmcjpeg", "+e1", "+fs", "1")),
    Form("jpeg_ls", "plain", ("dcmcjpls", "+el")),
    Form("jpeg_ls_near", "plain", ("dcmcjpls", "+en", "+md", "3")),
    Form("jpeg_baseline", "plain_8_bit", ("dcmcjpeg", "+eb", "+q", "95")),
    Form("jpeg_extended_8_bit", "plain_8_bit", ("dcmcjpeg", "+ee", "+q", "95")),
)
LOSSY = {"jpeg_ls_near", "jpeg_baseline", "jpeg_extended_8_bit"}


class Reference(NamedTuple):
    """One row of the table."""

    file: Path
    transfer_syntax: str
    source: str
    pixel_sha256: str


def references() -> dict[str, Reference]:
    """Return the shipped files by name."""
    with TABLE.open(newline="") as lines:
        return {
            row["name"]: Reference(
                FOLDER / f"{row['name']}.dcm", row["transfer_syntax"], row["source"], row["pixel_sha256"]
            )
            for row in csv.DictReader(lines)
        }


def pixel_sha256(pixels: np.ndarray) -> str:
    """Return the hash of stored values, uint8 or uint16, whatever their byte order in memory."""
    return hashlib.sha256(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()).hexdigest()


def plain_films() -> dict[str, Dataset]:
    """Return the film that all others are written from: 40 x 30 pixels, in 14 and in 8 bit."""
    plain = film("one")
    shallow = film("one", **EIGHT_BIT, PixelData=(plain.pixel_array >> 6).astype(np.uint8).tobytes())
    shallow["PixelData"].VR = "OB"
    return {"plain": plain, "plain_8_bit": shallow}


def write_forms(folder: Path, plain: dict[str, Dataset]) -> dict[str, Path]:
    """Write plain films with pydicom and every other form of them with DCMTK; return the files by name."""
    files = {name: write(dataset, folder / f"{name}.dcm") for name, dataset in plain.items()}
    for form in FORMS:
        files[form.name] = folder / f"{form.name}.dcm"
        call(*form.command, str(files[form.source]), str(files[form.name]))
    return files


def pixels_by_dcmtk(file: Path) -> bytes:
    """Return the pixels of one film as DCMTK decodes them, little endian."""
    with tempfile.TemporaryDirectory() as name:
        decoded, raw = Path(name) / "decoded.dcm", Path(name) / "raw"
        raw.mkdir()
        syntax = pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID
        program = "dcmconv"
        if syntax.is_compressed and not syntax.is_deflated:
            program = {"RLE": "dcmdrle", "JPE": "dcmdjpls" if "JPEG-LS" in syntax.name else "dcmdjpeg"}[syntax.name[:3]]
        call(program, "+te", str(file), str(decoded))
        call("dcmdump", "-q", "+W", str(raw), str(decoded))
        (dumped,) = raw.iterdir()
        header = pydicom.dcmread(decoded, stop_before_pixels=True)
        return dumped.read_bytes()[: header.Rows * header.Columns * header.BitsAllocated // 8]


def call(*command: str) -> str:
    """Run a program and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Write the files and their table anew."""
    FOLDER.mkdir(exist_ok=True)
    commands = {form.name: " ".join([*form.command, f"{form.source}.dcm", f"{form.name}.dcm"]) for form in FORMS}
    sources = {form.name: form.source for form in FORMS}
    version = call("dcmdump", "--version").split()[2]
    with TABLE.open("w", newline="") as lines:
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(["name", "transfer_syntax", "source", "written_by", "dcmtk", "pixel_sha256"])
        for name, file in write_forms(FOLDER, plain_films()).items():
            syntax = pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID
            digest = hashlib.sha256(pixels_by_dcmtk(file)).hexdigest()
            written_by = commands.get(name, "pydicom")
            rows.writerow([name, syntax, sources.get(name, name), written_by, version, digest])


if __name__ == "__main__":
    main()
