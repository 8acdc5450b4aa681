"""Which hospitals are left out because of what they handed over, kept from run to run.

What lives here: the record of a stop (hospital, role, table, reason), which ends when that table of that hospital is
made. What does not: stopping, and finding out a hospital's role (`orchestration`), the table that shows the records
(`reporting`). A record is one small file of the lake, so that runs and processes share it.
"""

import hashlib
import json
from collections.abc import Collection
from typing import NamedTuple

from olvf_assets.storage.artifacts import ArtifactStore, read_json

LEFT_OUT_FOLDER = "left_out"  # below the lake


class Stop(NamedTuple):
    """A hospital that is left out.

    role: `development`, `external` or `unknown`. table: the table that could not be made of its files. reason: the
    error's message. run_id: the run in which it was stopped.
    """

    institution: str
    role: str
    table: str
    reason: str
    run_id: str

    @property
    def text(self) -> str:
        """Return who, what and why in one line."""
        return f"{self.institution} ({self.role}) is left out: its {self.table} could not be made: {self.reason}"


class LeftOut:
    """The records of stopped hospitals.

    Args:
        store: of the lake that they lie in.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def note(self, stop: Stop) -> None:
        """Keep a stop; a hospital has one record, the latest."""
        self._store.write_text(_file(stop.institution), json.dumps(stop._asdict(), indent=2))

    def end(self, institution: str, table: str) -> None:
        """Forget the stop of a hospital if it was at this table, which could be made now."""
        stop = self._read(institution)
        if stop is not None and stop.table == table:
            self._store.remove(_file(institution))

    def stops(self, institutions: Collection[str]) -> list[Stop]:
        """Return the stops of the hospitals that there are, by name; a record that cannot be read is none."""
        found = [self._read(institution) for institution in sorted(institutions)]
        return [stop for stop in found if stop is not None]

    def _read(self, institution: str) -> Stop | None:
        return self._store.read(_file(institution), lambda path: Stop(**read_json(path)))


def _file(institution: str) -> str:
    # A landing folder may bear any name, a file of ours may not.
    return f"{LEFT_OUT_FOLDER}/{hashlib.sha256(institution.encode()).hexdigest()[:16]}.json"
