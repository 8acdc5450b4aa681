"""DCMTK and dicom3tools beside our own reading and writing of DICOM."""

import hashlib
import re
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from olvf_assets.intake.pixels.decoders import decode
from olvf_assets.phantom.dicom import make_dataset, write_film
from olvf_assets_tests.intake.films_by_dcmtk import FORMS, LOSSY, call, pixel_sha256, pixels_by_dcmtk, write_forms
from olvf_assets_tests.intake.phantom_films import cases
from olvf_assets_tests.intake.samples import film, headers

SIDES = ((97, 64), (64, 97), (33, 31))  # odd ones: rows of an odd length are padded somewhere
COLUMNS_BY_TAG = {
    "Rows": "rows",
    "Columns": "columns",
    "BitsStored": "bits_stored",
    "PhotometricInterpretation": "photometric",
    "KVP": "kvp",
    "DistanceSourceToDetector": "sid_mm",
    "ManufacturerModelName": "detector",
}


def noisy(rows: int, columns: int, bits: int, photometric: str) -> Dataset:
    """Return a film whose values reach from 0 to the largest that its bits hold, on a smooth ramp with noise."""
    largest = 2**bits - 1
    noise = np.random.default_rng(rows * columns * bits).integers(-largest // 16, largest // 16, (rows, columns))
    pixels = np.clip(np.linspace(0, largest, rows * columns).reshape(rows, columns) + noise, 0, largest)
    allocated = 8 if bits == 8 else 16
    dataset = film(
        "noisy", Rows=rows, Columns=columns, BitsAllocated=allocated, BitsStored=bits, HighBit=bits - 1,
        PhotometricInterpretation=photometric, PixelData=_padded(pixels.astype(f"<u{allocated // 8}").tobytes()),
    )  # fmt: skip
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    return dataset


def _padded(pixels: bytes) -> bytes:
    return pixels + b"\0" * (len(pixels) % 2)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("rows", "columns"), SIDES)
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_every_form_that_dcmtk_writes_is_decoded_as_dcmtk_does(
    tmp_path: Path, bits: int, rows: int, columns: int, photometric: str
) -> None:
    plain = {
        "plain": noisy(rows, columns, bits, photometric), "plain_8_bit": noisy(rows, columns, 8, photometric)
    }  # fmt: skip
    files = write_forms(tmp_path, plain)
    hashes = {name: hashlib.sha256(pixels_by_dcmtk(file)).hexdigest() for name, file in files.items()}
    assert {name: pixel_sha256(decode(pydicom.dcmread(file))) for name, file in files.items()} == hashes
    for form in FORMS:
        assert (hashes[form.name] == hashes[form.source]) == (form.name not in LOSSY), form.name


@pytest.fixture(scope="module")
def phantom_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing folder with every view that the phantom makes, by both kinds of detector."""
    folder = tmp_path_factory.mktemp("phantom") / "institution_1"
    (folder / "films").mkdir(parents=True)
    for modality in ("DX", "CR"):
        views = ("neutral", "flexion", "extension", "thoracic")
        for case in cases(1, 20261127, views, modality=modality, pixel_mm=0.4):
            dataset = make_dataset(case.film, case.patient, case.plan, case.site)
            dataset.SOPInstanceUID += ".1" if modality == "DX" else ".2"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            write_film(folder / "films" / f"{modality}_{case.view}.dcm", dataset)
    return folder


def test_dciodvfy_finds_no_error_in_the_phantoms_films(phantom_films: Path) -> None:
    films = sorted((phantom_films / "films").iterdir())
    assert len(films) == 8
    for each in films:
        said = subprocess.run(["dciodvfy", "-new", str(each)], check=True, capture_output=True, text=True).stderr
        kind, *remarks = said.splitlines()
        assert kind == ("DXImageForPresentation" if each.name.startswith("DX") else "CRImage")
        assert [remark for remark in remarks if not remark.startswith("Warning - ")] == []


def test_what_dcmdump_reads_stands_in_our_table_of_headers(phantom_films: Path) -> None:
    ours = headers(phantom_films)
    assert len(ours) == 8
    for path, pixel_mm, *found in ours.select("path", "pixel_mm", *COLUMNS_BY_TAG.values()).iter_rows():
        theirs = dcmdump(phantom_films / path, "ImagerPixelSpacing", *COLUMNS_BY_TAG)
        assert [type(value)(theirs[tag]) for tag, value in zip(COLUMNS_BY_TAG, found, strict=True)] == found, path
        assert theirs["ImagerPixelSpacing"] == f"{pixel_mm}\\{pixel_mm}"
    assert ours["sop_instance_uid"].n_unique() == 8


def dcmdump(file: Path, *tags: str) -> dict[str, str]:
    """Return values of tags as DCMTK prints them, without brackets."""
    lines = call("dcmdump", "--quiet", "+L", *(word for tag in tags for word in ("+P", tag)), str(file)).splitlines()
    parsed = [re.fullmatch(r"\S+ \w\w (?:\[(.*)\]|(\S+)) +#.* (\w+)", line) for line in lines]
    return {match[3]: (match[1] or match[2]).strip() for match in parsed if match}
