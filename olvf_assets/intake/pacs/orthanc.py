"""The change feed of an Orthanc: which series came or changed since it was last read.

What lives here: reading `/changes` and asking a series for its identity and whether it is stable. What does not: when
that is done (`orchestration/pacs.py`), fetching (`polling`).

An Orthanc that is killed before a series is stable never says later that it is. So every series that the feed names in
any way is kept until it has been fetched, and is asked itself.
"""

import re
from collections.abc import Collection
from datetime import date
from typing import Any, NamedTuple

from olvf_assets.intake.pacs.answers import day_of, is_uid
from olvf_assets.intake.pacs.errors import StoreFailedError, StoreLacksServiceError
from olvf_assets.intake.pacs.pacs_file import Pacs
from olvf_assets.intake.pacs.state import State
from olvf_assets.intake.pacs.web import asked, session_of

CHANGES_AT_A_TIME = 1000
MOST_READINGS = 50  # at a time; the rest is read next time
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")


class ToldSeries(NamedTuple):
    """A series of the feed: its study, the day of it, and whether it has stopped growing."""

    orthanc_id: str
    study_uid: str
    day: date | None
    stable: bool
    version: str


class Feed:
    """The change feed of a site's Orthanc.

    Args:
        pacs: the site, which has an `[orthanc]`.

    Raises:
        PacsCredentialsError: as `web.session_of`.
    """

    def __init__(self, pacs: Pacs) -> None:
        if pacs.orthanc is None:
            raise ValueError("this site has no [orthanc]")
        self._url = pacs.orthanc.url
        self._name = f"the change feed of {pacs.institution} ({self._url})"
        self._session = session_of(pacs, pacs.orthanc)

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    def test(self) -> list[str]:
        """Return a line for what works."""
        self._get("/changes?limit=1")
        return [f"{self._name} can be read"]

    def read(self, state: State, readings: int = MOST_READINGS) -> bool:
        """Keep in `state` every series that the feed tells of since it was last read; return whether it began anew.

        A feed that ends before what was read of it is that of another data base: it is read from its beginning.

        Args:
            state: of the site.
            readings: how often the feed is asked for the next thousand changes, at most.

        Raises:
            PacsError: the feed cannot be read; what was read of it is kept.
        """
        since, anew = int(state.said("feed_read_to") or 0), False
        for _ in range(readings):
            found = self._get(f"/changes?since={since}&limit={CHANGES_AT_A_TIME}")
            changes, last, done = found.get("Changes"), found.get("Last"), found.get("Done")
            if not isinstance(changes, list) or not isinstance(last, int):
                raise StoreFailedError(f"{self._name} is not that of an Orthanc; correct url in [orthanc]")
            if last < since:
                since, anew = 0, True
                state.note_feed(last=0)
                continue
            state.note_feed(add=sorted(self._series_of(changes)), last=last)
            if done or last == since:
                break
            since = last
        return anew

    def told(self, state: State, modalities: Collection[str]) -> list[ToldSeries]:
        """Return the series of the feed that are not fetched yet; those gone or of another modality are forgotten."""
        found, others = [], []
        for orthanc_id in state.feed():
            series = self._series(orthanc_id, modalities)
            if series is None:
                others.append(orthanc_id)
            else:
                found.append(series)
        state.note_feed(remove=others)
        return found

    def _series_of(self, changes: list[Any]) -> set[str]:
        found = set()
        for change in changes:
            if not isinstance(change, dict) or not ID.fullmatch(str(change.get("ID"))):
                continue
            kind, orthanc_id = str(change.get("ChangeType")), str(change["ID"])
            if kind in ("NewSeries", "StableSeries"):
                found.add(orthanc_id)
            elif kind == "NewInstance":  # one that came late, in a series that is known
                parent = self._found(f"/instances/{orthanc_id}").get("ParentSeries")
                found |= {parent} if isinstance(parent, str) and ID.fullmatch(parent) else set()
        return found

    def _series(self, orthanc_id: str, modalities: Collection[str]) -> ToldSeries | None:
        series = self._found(f"/series/{orthanc_id}")
        own = series.get("MainDicomTags")
        if isinstance(own, dict) and own.get("Modality") and own["Modality"] not in modalities:
            return None
        study = self._found(f"/studies/{series['ParentStudy']}") if ID.fullmatch(str(series.get("ParentStudy"))) else {}
        tags = study.get("MainDicomTags")
        if not isinstance(tags, dict) or not is_uid(str(tags.get("StudyInstanceUID"))):
            return None
        instances = series.get("Instances")
        version = f"{series.get('LastUpdate')} {len(instances) if isinstance(instances, list) else 0}"
        day = day_of(str(tags.get("StudyDate", "")))
        return ToldSeries(orthanc_id, str(tags["StudyInstanceUID"]), day, series.get("IsStable") is True, version)

    def _found(self, path: str) -> dict[str, Any]:
        """Return what is at a path; nothing where it was deleted."""
        try:
            return self._get(path)
        except StoreLacksServiceError:
            return {}

    def _get(self, path: str) -> dict[str, Any]:
        def get() -> dict[str, Any]:
            response = self._session.get(self._url + path, headers={"Accept": "application/json"})
            response.raise_for_status()
            found = response.json()
            if not isinstance(found, dict):
                raise ValueError("no JSON object")
            return found

        return asked(get, self._name, "orthanc")
