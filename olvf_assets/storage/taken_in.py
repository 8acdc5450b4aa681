"""Which state of a landing folder each stored table of an institution was made from.

What lives here: these notes. What does not: the state that a folder is in now, and which institutions are due
(`intake.landing.arrivals`).

An institution is taken in when all its tables, and those that close a run (metrics, report, warehouse), are stored and
were made from the state that its folder is in now. The state is noted only after the table is in the lake, so a run
that dies on the way leaves its institution due.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from olvf_assets.storage.artifacts import ArtifactStore, read_json

FOLDER = "arrivals"
FOLDER_STATE = "state of the landing folder"  # the note by which the table of arrived files says what it was made from


def record_stored(
    store: ArtifactStore, institution: str, table: str, *, state: str | None = None, reads: Iterable[str] = ()
) -> None:
    """Note what an institution's rows of a table were made from, now that they are in the lake.

    Args:
        store: where the notes are.
        institution: its key.
        table: the table's name.
        state: of the landing folder; None means that of the tables in `reads`, if they all have the same.
        reads: the institution's tables that this one was made from; with none and no state, the note is taken back.
    """
    states = _states(store, institution)
    found = {states.get(name) for name in reads} if state is None else {state}
    known = found.pop() if len(found) == 1 else None
    if known is None:
        states.pop(table, None)
    else:
        states[table] = known
    _write(store, _file(institution), states)


def forget_stored(store: ArtifactStore, table: str) -> None:
    """Take back every institution's note of a table that is not in the lake any more as it was noted."""
    for file in store.files(FOLDER, "*.stored.json"):
        states = store.read(file, read_json) or {}
        if states.pop(table, None) is not None:
            _write(store, file, states)


def is_known(store: ArtifactStore, institution: str) -> bool:
    """Return whether any table of an institution was ever stored."""
    return bool(_states(store, institution))


def is_taken_in(store: ArtifactStore, institution: str, tables: Sequence[str], state: str) -> bool:
    """Return whether all these tables of an institution are stored and were made from this state of its folder."""
    states = _states(store, institution)
    return all(states.get(name) == state and store.tables.is_there(name) for name in tables)


def _states(store: ArtifactStore, institution: str) -> dict[str, str]:
    return store.read(_file(institution), read_json) or {}


def _write(store: ArtifactStore, file: Path | str, states: dict[str, str]) -> None:
    store.write_text(file, json.dumps(states, indent=1, sort_keys=True))


def _file(institution: str) -> str:
    return f"{FOLDER}/{institution}.stored.json"
