"""What was worked out for each item of a table's part, so that an item that comes costs itself alone.

What lives here: `KeptAnswers`, one parquet file of answers for each table and institution. What does not: what is asked
(films, crops, networks), and whether a table is made at all (`foundation/made.py`).

An answer holds as long as the item and everything that the answer is made with are the same, to the letter. So whoever
keeps answers here must work each out by itself: what else is asked in the same run must not change a bit of it.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.parallel import at_most_every
from olvf_assets.foundation.tables import TableRun
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint

FOLDER = "work/answers"
SAVE_EVERY_S = 10.0
_SCHEMA = pl.Schema({"item": pl.String, "answer": pl.String})
Find = Callable[[list[int]], Iterable[Any]]


def _always(answer: Any) -> bool:
    return True


class KeptAnswers:
    """Answers by item, kept in a file between runs; on leaving the context those nobody asked for are forgotten.

    Args:
        store: of the lake; None keeps nothing.
        file: where in it.
        again: work everything out again.
    """

    def __init__(self, store: ArtifactStore | None = None, file: Path | str = "", *, again: bool = False) -> None:
        self.store, self.file = store, file
        kept = None
        if store is not None and not again:  # damaged, or of another version: everything is worked out again
            kept = store.read(file, lambda path: pl.read_parquet(path).select(_SCHEMA.names()).cast(_SCHEMA))
        self._kept: dict[str, str] = {} if kept is None else dict(kept.iter_rows())
        self._asked: dict[str, str] = {}
        self._changed = False

    @classmethod
    def of(cls, run: TableRun, table: str) -> Self:
        """Return what is kept for the institution of a table that is made now; nothing, if the run is for none."""
        store = run.store if run.institution else None
        return cls(store, f"{FOLDER}/{run.institution}-{table}.parquet", again=run.forced)

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write what was asked for; if the work ended early, what was kept before as well."""
        if kind is None and (self._changed or len(self._asked) < len(self._kept)):
            self._write(self._asked)
        elif self._changed:
            with suppress(MachineError):  # the error that ended the work is the one to be seen
                self._write(self._kept | self._asked)

    def answers(
        self, items: Sequence[Any], made_with: Any, find: Find, *, holds: Callable[[Any], bool] = _always
    ) -> list[Any]:
        """Return the answer to each item, in order; `find` is asked for those that are not kept.

        Args:
            items: JSON-able. An item names the pictures that it is about: by these it is found when somebody is erased.
            made_with: JSON-able, what else every answer is made with: code, settings.
            find: yields the answers (JSON-able; floats come back to the bit) for the places in `items` that it is
                given, in that order. What it has yielded is kept if it is killed later.
            holds: whether a kept answer may still be used, e.g. whether a file that it names is there.
        """
        base = fingerprint({"made_with": made_with})
        keys = [json.dumps([base, item]) for item in items]
        known: list[Any] = [self._remembered(key, holds) for key in keys]
        missing = [place for place, answer in enumerate(known) if answer is None]
        save = at_most_every(SAVE_EVERY_S, lambda: self._write(self._kept | self._asked))
        for place, answer in zip(missing, find(missing) if missing else (), strict=True):
            known[place] = answer
            self._asked[keys[place]] = json.dumps(answer)
            self._changed = True
            save()
        return known

    def _remembered(self, key: str, holds: Callable[[Any], bool]) -> Any:
        text = self._asked.get(key) or self._kept.get(key)
        answer = None if text is None else json.loads(text)
        if text is None or not holds(answer):
            return None
        self._asked[key] = text
        return answer

    def _write(self, answers: dict[str, str]) -> None:
        if self.store is not None:
            table = pl.DataFrame(sorted(answers.items()), schema=_SCHEMA, orient="row")
            self.store.write(self.file, table.write_parquet)
