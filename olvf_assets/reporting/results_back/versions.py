"""Which objects were written for a film, which of them supersede which, and which have been sent.

What lives here: one small file a film below `results_back/<institution>` in the lake, and the UIDs of objects. What
does not: the objects (`structured_report.py`, `attention_image.py`), where their files lie (`hospital.py`), sending.

The file holds pseudonyms and UIDs of ours alone, which are keyed digests: equal results of a film have equal UIDs, and
without the key nobody gets from them to the film. A film's next result supersedes the one before; a result that comes
again later is another object than the first time, since it supersedes what came between.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.reporting.results_back.equipment import Identity
from olvf_assets.storage.artifacts import ArtifactStore, read_json

FOLDER = "results_back"


@dataclass(frozen=True)
class Version:
    """One version of a film's objects.

    Attributes:
        key: keyed digest of all that the version says.
        report_uid, report_series_uid, picture_uid, picture_series_uid: as in `Identity`.
        made: when it was first written, ISO 8601.
        sent: when it was stored in the image store, ISO 8601; None: not yet, or nobody said so.
    """

    key: str
    report_uid: str
    report_series_uid: str
    picture_uid: str | None
    picture_series_uid: str
    made: str
    sent: str | None = None


def versions_of(store: ArtifactStore, institution: str, film_id: str) -> list[Version]:
    """Return a film's versions, the first ones first."""
    return store.read(_file(institution, film_id), _read) or []


def films_with_versions(store: ArtifactStore, institution: str) -> list[str]:
    """Return the films of an institution that something was written for, sorted."""
    return [file.stem for file in store.files(f"{FOLDER}/{institution}", "*.json")]


def keep_versions(store: ArtifactStore, institution: str, film_id: str, versions: list[Version]) -> None:
    """Keep a film's versions.

    Raises:
        DiskFullError, WriteFaultError: the disk.
    """
    text = json.dumps({"versions": [asdict(each) for each in versions]})
    store.write_text(_file(institution, film_id), text)


def next_version(
    earlier: list[Version], film_uid: str, key: str, names: Pseudonymiser, made: datetime, *, has_picture: bool
) -> Version:
    """Return the version that follows earlier ones.

    Args:
        earlier: of the film.
        film_uid: the film's SOP instance UID.
        key: of what the new version says.
        names: makes the UIDs.
        made: now.
        has_picture: whether there is a picture beside the report.
    """
    follows = f"{film_uid} {key} {earlier[-1].report_uid if earlier else 'first'}"
    return Version(
        key=key,
        report_uid=names.uid(f"results report {follows}"),
        report_series_uid=names.uid(f"results report series {film_uid}"),
        picture_uid=names.uid(f"results picture {follows}") if has_picture else None,
        picture_series_uid=names.uid(f"results picture series {film_uid}"),
        made=made.isoformat(),
    )


def identity_of(versions: list[Version]) -> Identity:
    """Return UIDs and time of the last of a film's versions, with the one that it supersedes."""
    identity = None
    for number, each in enumerate(versions[-2:], start=max(1, len(versions) - 1)):
        identity = Identity(
            report_uid=each.report_uid,
            report_series_uid=each.report_series_uid,
            picture_uid=each.picture_uid,
            picture_series_uid=each.picture_series_uid,
            number=number,
            made=datetime.fromisoformat(each.made),
            before=identity,
        )
    if identity is None:
        raise ValueError("a film without a version has no identity")
    return identity


def _file(institution: str, film_id: str) -> str:
    return f"{FOLDER}/{institution}/{film_id}.json"


def _read(file: Path) -> list[Version]:
    rows: list[dict[str, Any]] = read_json(file)["versions"]
    return [Version(**row) for row in rows]
