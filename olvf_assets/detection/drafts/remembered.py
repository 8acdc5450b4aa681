"""Every draft as it was written, for whoever asks later what became of it.

What lives here: one small file a film below `drafts/<institution>` in the lake, with each distinct draft that was ever
written for it. What does not: how corrections are measured (`corrections.py`), the files that people open
(`written.py`). By then the detector may be another one: what it would propose today says nothing of the draft.

A file a film, so that a film which is forgotten takes its own drafts with it and nobody else's.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from olvf_assets.detection.drafts.proposals import Draft
from olvf_assets.foundation.made import text_digest
from olvf_assets.storage.artifacts import ArtifactStore, read_json

FOLDER = "drafts"
Remembered = dict[str, list[dict[str, Any]]]  # of each film its drafts, the first ones first


def remember(store: ArtifactStore, institution: str, drafts: Iterable[Draft]) -> None:
    """Add drafts to those of their films, unless they are there.

    Raises:
        DiskFullError, WriteFaultError: the disk.
    """
    for draft in drafts:
        file = f"{FOLDER}/{institution}/{draft.film_id}.json"
        known = _of_film(store, file)
        if draft.as_json() not in known:
            store.write_text(file, json.dumps({"drafts": [*known, draft.as_json()]}))


def remembered(store: ArtifactStore, institution: str) -> Remembered:
    """Return every draft of an institution, by film, sorted."""
    files = store.files(f"{FOLDER}/{institution}", "*.json")
    return {file.stem: found for file in files if (found := _of_film(store, file))}


def drafts_digest(store: ArtifactStore, institution: str) -> str:
    """Return what changes whenever a draft is remembered."""
    return text_digest(remembered(store, institution))


def _of_film(store: ArtifactStore, file: Path | str) -> list[dict[str, Any]]:
    return store.read(file, lambda path: list(read_json(path)["drafts"])) or []
