"""Contents and versions, and the words for what changed."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from olvf_assets.foundation import provenance
from olvf_assets.foundation.provenance import file_sha256, library_versions, why_anew
from olvf_assets.storage.artifacts import ArtifactStore

DESCRIPTION = {"code": 1, "seed": 5, "data": "a" * 64, "libraries": {"torch": "2.1"}, "settings": {"epochs": 6}}


def test_a_file_is_known_by_its_content_even_if_time_and_size_stay(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"one")
    stamp = file.stat()
    assert file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"two")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert file_sha256(file) == hashlib.sha256(b"two").hexdigest()


def test_a_file_that_did_not_change_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"one")
    first = file_sha256(file)
    monkeypatch.setattr(Path, "open", None)
    assert file_sha256(file) == first


def test_versions_are_those_installed_and_what_is_not_is_said_to_be_absent() -> None:
    versions = library_versions("polars", "no-such-library-of-ours")
    assert versions["polars"][0].isdigit()
    assert versions["no-such-library-of-ours"] == provenance.ABSENT


def test_the_first_work_of_its_kind_has_nothing_to_differ_from(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.work_folder("kind", DESCRIPTION)
    assert why_anew(ArtifactStore(tmp_path).descriptions("kind"), DESCRIPTION) == "nothing of the kind was done before"
    assert (
        why_anew(ArtifactStore(tmp_path).descriptions("another"), DESCRIPTION) == "nothing of the kind was done before"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 6}, "seed (5 before, 6 now)"),
        ({"data": "b" * 64}, "data"),
        ({"libraries": {"torch": "2.2"}}, "libraries.torch (2.1 before, 2.2 now)"),
        ({"libraries": {"torch": "2.1", "timm": "1"}}, "libraries.timm (absent before, 1 now)"),
        ({"settings": {"epochs": 8}, "code": 2}, "code (1 before, 2 now), settings.epochs (6 before, 8 now)"),
    ],
)
def test_it_says_what_differs_from_the_closest_earlier_work(tmp_path: Path, change: dict, words: str) -> None:
    store = ArtifactStore(tmp_path)
    store.work_folder("kind", DESCRIPTION)
    store.work_folder("kind", {"code": 99, "seed": 99, "data": "c" * 64})
    now = DESCRIPTION | change
    store.work_folder("kind", now)
    assert (
        why_anew(ArtifactStore(tmp_path).descriptions("kind"), now)
        == f"differs from the closest earlier one in {words}"
    )


@pytest.mark.parametrize("torn", ["", "{", "[]", json.dumps("text")])
def test_a_torn_record_is_none(tmp_path: Path, torn: str) -> None:
    folder = ArtifactStore(tmp_path).work_folder("kind", DESCRIPTION)
    (folder / "provenance.json").write_text(torn)
    assert why_anew(ArtifactStore(tmp_path).descriptions("kind"), DESCRIPTION) == "nothing of the kind was done before"
