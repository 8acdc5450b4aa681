"""Copies of the planted hospital with one fault each: every way to an error is walked with names of people on it."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from olvf_assets_tests.planted_hospital import DAY, NAME, PATIENT_IDS, token

TOML = 'name = "Clinic"\nrole = "external"\n'


def _toml(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "institution.toml").write_text(text, encoding="utf-8")


def _subjects(text: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / "subjects.xlsx").unlink()
        (folder / "subjects.csv").write_text(text, encoding="utf-8")

    return write


def _box(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "boxes" / name).write_bytes(content)


def _voc(label: str, encoding: str = "utf-8") -> bytes:
    return (
        f'<?xml version="1.0" encoding="{encoding}"?><annotation><filename>{token()}</filename><size><width>300</width>'
        f"<height>425</height></size><object><name>{label}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
        "<ymax>9</ymax></bndbox></object></annotation>"
    ).encode()


def _damaged_archive(folder: Path) -> None:
    path = folder / "films" / f"{token()} {NAME}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{token()}/{NAME}.dcm", f"a film of {NAME}" * 50)
    path.write_bytes(path.read_bytes().replace(NAME.encode(), b"?" * len(NAME.encode()), 7))


HEADINGS = "patient_id,sex,age_years,film_date,onset_date,mri_date\n"
PATIENT = f"{PATIENT_IDS[0]},F,81"
# By institution: the fault, and what the message says of it.
STOPPED: dict[str, tuple[Callable[[Path], object], str]] = {
    "toml_role": (_toml(f'name = "Clinic"\nrole = "{token()} {NAME}"\n'), "this role is unknown"),
    "toml_key": (_toml(f'{TOML}{token()} = "{NAME}"\n'), "unknown key number 3"),
    "toml_value": (_toml(f"name = {PATIENT_IDS[0]}\nrole = 'external'\n"), "not a value of type int"),
    "toml_text": (_toml(f"{TOML}note = {token()} {NAME}\n"), "not valid TOML (at line 3"),
    "toml_twice": (_toml(f"{TOML}[{token()}]\n[{token()}]\n[{token()}.a]\nb = 1\nb = 2"), "not valid TOML"),
    "no_heading": (_subjects(f"{PATIENT},{DAY},,\n{PATIENT_IDS[1]},{NAME},70,{DAY},,\n"), "no heading is known"),
    "shifted": (_subjects(f"{HEADINGS}{PATIENT_IDS[0]},{NAME},F,81,{DAY},\n"), "column sex: '****' is not allowed"),
    "spaced_out": (_subjects(f"{HEADINGS}{PATIENT_IDS[0]},Z Q 0 0 7 X,81,1907-03-19,,\n"), "column sex"),
    "open_quote": (_subjects(f'{HEADINGS}"{PATIENT_IDS[0]},{NAME}\n'), "quotation mark"),
    "no_date": (_subjects(f"{HEADINGS}{PATIENT},{token()} {NAME},,\n"), "is not a date"),
    "twice": (_subjects(f"{HEADINGS}{PATIENT},1907-03-19,,\n{PATIENT},1907-03-19,,\n"), "already"),
    "no_workbook": (lambda folder: (folder / "subjects.xlsx").write_bytes(NAME.encode()), "workbook cannot be read"),
}  # fmt: skip
# Faults of single files.
NOT_STOPPED: dict[str, Callable[[Path], object]] = {
    "archive": _damaged_archive,
    "link": lambda folder: (folder / "films" / f"{token()} {NAME}.dcm").symlink_to(f"/{token()}/{NAME}"),
    "box_class": _box(f"{token()}.xml", _voc(f"{token()} {NAME}")),
    "box_encoding": _box(f"{token()}.xml", _voc("L1", encoding=token())),
    "box_text": _box(f"{token()} {NAME}.txt", f"{token()} {NAME} 0.5 0.5 0.1 0.1\n".encode()),
    "box_json": _box(f"{token()}.json", f'{{"images": "{token()} {NAME}", "categories": {{}}}}'.encode()),
}


def write_faulty_hospitals(clinic: Path) -> None:
    """Write a copy of the planted hospital for each fault beside it, with one film each."""
    first = next(path for path in sorted((clinic / "films").rglob("*.dcm")) if NAME in path.name)
    for name, fault in {**NOT_STOPPED, **{each: fault for each, (fault, _) in STOPPED.items()}}.items():
        folder = clinic.with_name(name)
        shutil.copytree(clinic, folder, ignore=shutil.ignore_patterns("films", "boxes"))
        (folder / "films").mkdir()
        (folder / "boxes").mkdir()
        shutil.copy(first, folder / "films")
        fault(folder)
