"""The programs zip, unzip and 7zz beside our own reading of archives."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olvf_assets_tests.intake.samples import content_of, film, hospital, manifest, packed

NAMES = ("IM0001", "0001/IM0001.dcm", "腰椎/側面 1.dcm", "a b/ü.dcm", "empty.dcm", "noise.bin", "zeros.bin")


def contents() -> dict[str, bytes]:
    """Return files by name: films, an empty file, one that cannot be packed and one that packs to nearly nothing."""
    noise = np.random.default_rng(20261127).integers(0, 256, 300_000).astype(np.uint8).tobytes()
    films = [content_of(film(f"film {number}")) for number in range(4)]
    return dict(zip(NAMES, (*films, b"", noise, bytes(2_000_000)), strict=True))


@pytest.fixture
def packed_by(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that packs the files with a command into `films/export.zip` and returns the archive."""
    folder = tmp_path / "to_pack"
    for name, content in contents().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    landing = hospital(tmp_path, {"one.dcm": film("one")})

    def pack(*command: str) -> Path:
        archive = landing / "films" / "export.zip"
        subprocess.run([*command, str(archive), "."], cwd=folder, check=True, capture_output=True)
        return archive

    return pack


def by_us(archive: Path) -> dict[str, str]:
    """Return {name inside: hash} of an archive as our table of landed files has it."""
    prefix = "films/export.zip/"
    rows = manifest(archive.parents[1]).select("path", "sha256").rows()
    return {path.removeprefix(prefix): sha256 for path, sha256 in rows if path.startswith(prefix)}


def by_another(archive: Path, *command: str) -> dict[str, str]:
    """Return {name inside: hash} of what another program unpacks."""
    folder = archive.parents[2] / "unpacked"
    folder.mkdir()
    subprocess.run([*command, str(archive)], cwd=folder, check=True, capture_output=True)
    return {
        each.relative_to(folder).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in folder.rglob("*")
        if each.is_file()
    }


EXPECTED = {name: hashlib.sha256(content).hexdigest() for name, content in contents().items()}


@pytest.mark.parametrize(
    "command",
    [
        ("zip", "-r"),
        ("zip", "-r", "-0"),
        ("zip", "-r", "-9", "-D"),
        ("zip", "-r", "-fz"),  # ZIP64 records in a small archive
        ("7zz", "a", "-tzip"),
        ("7zz", "a", "-tzip", "-mm=Copy"),
        ("7zz", "a", "-tzip", "-mcu=on"),  # names flagged as UTF-8
        ("7zz", "a", "-tzip", "-mm=BZip2"),
        ("7zz", "a", "-tzip", "-mm=LZMA"),
    ],
    ids=" ".join,
)
def test_members_have_the_hashes_that_other_programs_find(packed_by: Callable[..., Path], command: tuple) -> None:
    archive = packed_by(*command)
    assert by_us(archive) == EXPECTED
    assert by_another(archive, "7zz", "x") == EXPECTED


def test_unzip_finds_what_we_find(packed_by: Callable[..., Path]) -> None:
    archive = packed_by("zip", "-r")
    assert by_us(archive) == by_another(archive, "unzip", "-q") == EXPECTED


def test_an_archive_made_by_our_tests_is_whole_for_unzip_and_7zz(tmp_path: Path) -> None:
    archive = tmp_path / "packed.zip"
    archive.write_bytes(packed(dict(contents())))
    for command in (("unzip", "-t", "-q"), ("7zz", "t")):
        assert subprocess.run([*command, str(archive)], check=False, capture_output=True).returncode == 0, command
