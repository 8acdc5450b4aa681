"""What long work hangs on beside its settings, and why it is done anew.

What lives here: the content of files and the versions of libraries, for the description of a training; and the words
for how a description differs from the closest earlier one. What does not: descriptions themselves (each room has its
own), the folder that is named by one (`storage`). Versions are read from what is installed: nothing is imported.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# What computes the values of a trained network; one of the two builds of OpenCV is enough.
LIBRARIES_OF_NETWORKS = ("torch", "torchvision", "numpy", "opencv-python", "opencv-python-headless")
# They name, keep and report what was computed elsewhere; values of settings are in each description themselves.
NOT_DECIDING = (
    "olvf_assets.storage.artifacts",
    "olvf_assets.storage.delta_log",
    "olvf_assets.storage.png",
    "olvf_assets.storage.stored_tables",
    "olvf_assets.foundation.errors",
    "olvf_assets.foundation.parallel",
    "olvf_assets.foundation.provenance",
    "olvf_assets.foundation.settings",
    "olvf_assets.foundation.write_faults",
    "olvf_assets.classification.progress",
    "olvf_assets.classification.provenance",
    "olvf_assets.classification.settings",
    "olvf_assets.detection.settings",
)
LONGEST_SHOWN = 40
ABSENT = "absent"


@cache
def library_versions(*names: str) -> dict[str, str]:
    """Return the installed version of each distribution, `absent` where there is none."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ABSENT


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's content in hex; a file that did not change is read once a process.

    Raises:
        OSError: it cannot be read.
    """
    found = path.stat()
    return _content_sha256(path.resolve(), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@cache
def _content_sha256(path: Path, *stamp: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def why_anew(earlier: Iterable[dict[str, Any]], description: dict[str, Any]) -> str:
    """Return one line: what the work to be done now differs in from the closest earlier one of its kind.

    Args:
        earlier: descriptions of earlier work of the kind, as `ArtifactStore.descriptions` gives them.
        description: what the work hangs on, as for `ArtifactStore.work_folder`.
    """
    now = dict(_leaves(json.loads(json.dumps(description, default=str))))
    found = [_differences(dict(_leaves(each)), now) for each in earlier]
    others = sorted((each for each in found if each), key=lambda each: (len(each), each))
    if not others:
        return "nothing of the kind was done before"
    return "differs from the closest earlier one in " + ", ".join(others[0])


def _leaves(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, below in value.items():
        if isinstance(below, dict):
            yield from _leaves(below, f"{above}{key}.")
        else:
            yield f"{above}{key}", below


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return each key that differs, with both values where they are short enough to tell something."""
    keys = sorted(key for key in {*earlier, *now} if earlier.get(key, ABSENT) != now.get(key, ABSENT))
    words = []
    for key in keys:
        values = [str(each.get(key, ABSENT)) for each in (earlier, now)]
        telling = all(len(text) <= LONGEST_SHOWN and not _is_hash(text) for text in values)
        words.append(f"{key} ({values[0]} before, {values[1]} now)" if telling else key)
    return words


def _is_hash(text: str) -> bool:
    return len(text) >= 16 and all(letter in "0123456789abcdef" for letter in text)
