"""The parts of one table in one run: which stand as they are, which are made, and the record of each.

What lives here: applying the rule of `foundation.made` to a table with its checks. What does not: the rule itself, what
the failure of a part means for others (`steps.py`).
"""

import errno
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from olvf_assets.foundation.made import (
    WHOLE,
    Basis,
    Finding,
    Ingredients,
    Record,
    changes,
    first_reasons,
    frame_digest,
    text_digest,
)
from olvf_assets.foundation.settings import SettingsRead, settings_read
from olvf_assets.foundation.table_code import TableCode
from olvf_assets.foundation.tables import Check, Frames, Table, TableContractError, TableRun
from olvf_assets.foundation.write_faults import NO_ROOM, write_fault
from olvf_assets.orchestration.preview import row_in_words, rows_in_markdown
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.records import Records, files_digest

SHOWN_ROWS, SHOWN_LETTERS = 20, 200  # of the rows that break a rule


@dataclass(frozen=True)
class Lake:
    """What parts need to know of the lake.

    Attributes:
        store: of its files.
        stored: gives a table as it lies there, None if it was never written.
        digest: gives the digest of a table as it lies there.
    """

    store: ArtifactStore
    stored: Callable[[str], pl.DataFrame | None]
    digest: Callable[[str], str]


@dataclass
class Part:
    """One part of a table, made or found standing.

    Attributes:
        rows: its rows.
        notes: what is shown beside the materialisation.
        findings: by check.
        broken: a sentence for each blocking rule that it breaks.
        record: what is to be kept once the rows are stored; `rows` and `files` in it are filled in then.
        kept: its record as it lies there, of a part whose rows were found as they must be; None: it was made.
        own_seconds: in the table's own function; of a fold 0, for several are made together.
        again: why it is to be made again next time all the same.
    """

    rows: pl.DataFrame
    notes: dict[str, object]
    findings: dict[str, Finding]
    broken: list[str]
    record: Record
    kept: Record | None
    own_seconds: float = 0.0
    again: list[str] = field(default_factory=list)

    @property
    def standing(self) -> bool:
        """Return whether its rows were found as they must be."""
        return self.kept is not None


class Parts:
    """The parts of a table in one run.

    Args:
        table: the table.
        checks: its checks.
        code: what table and checks are made of.
        lake: where the table lies.
        force: make every part again.
        report: shows a line of progress.
    """

    def __init__(
        self,
        table: Table,
        checks: Sequence[Check],
        code: TableCode,
        lake: Lake,
        *,
        force: bool = False,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.table, self.checks, self.code, self.lake = table, checks, code, lake
        self.own_seconds = 0.0
        self.done: dict[str, Part] = {}
        self._force, self._report = force or table.always, report
        self._records = Records(lake.store)
        self._stored = lake.stored(table.name)
        self._digests: dict[int, tuple[pl.DataFrame, str]] = {}

    def standing(self, part: str, run: TableRun, frames: Frames, taken: Frames) -> Part | None:
        """Return a part of the lake if all that it is made of is as it was, and it lies there as it was made.

        Args:
            part: its name.
            run: what is known of the run.
            frames: what table and checks read.
            taken: what the table takes of that.
        """
        record = self._records.find(self.table.name, part)
        if record is None or self._force:
            return None
        reasons = list(self.reasons(part, record, run, taken))
        if reasons:
            self._report(f"{self._said(part)}made again: {first_reasons(reasons)}")
            return None
        rows = self.table.conform(self._lying(part))
        if reasons := list(self.reasons_to_check(record, run, frames)):
            self._report(f"{self._said(part)}held against its checks again: {first_reasons(reasons)}")
            return self._held(rows, replace(run, notes=dict(record.notes)), frames, record.basis, record)
        return Part(rows, dict(record.notes), dict(record.findings), [], record, kept=record)

    def reasons(self, part: str, record: Record, run: TableRun, taken: Frames) -> Iterator[str]:
        """Yield, in words, why the rows of a part cannot stand."""
        yield from changes(record.basis, self._of_rows(run, taken), run.profile, self.lake.digest)
        lying = self._lying(part)
        if frame_digest(lying) != record.rows:
            yield "its rows in the lake are not those that were made"
            return
        try:
            self.table.conform(lying)
        except TableContractError as error:  # of an older release
            yield str(error)
        if self._files(run, lying) != record.files:
            yield "a file that it names, or that was written beside it, is missing or another"

    def reasons_to_check(self, record: Record, run: TableRun, frames: Frames) -> Iterator[str]:
        """Yield, in words, why rows that stand must be held against their checks again."""
        if record.checked is not None:
            yield from changes(record.checked, self._of_checks(run, frames), run.profile, self.lake.digest)
        elif self.checks:
            yield "they never were"

    def part(self, part: str, run: TableRun, frames: Frames) -> Part:
        """Return one part, made if it does not stand."""
        taken = self.table.taken(frames)
        found = self.standing(part, run, frames, taken)
        if found is None:
            before = self.own_seconds
            with self._noting(run) as noted:
                rows = self._made(self._looking(run, noted), taken)
            found = self._held(rows, run, frames, self._basis(self._of_rows(run, taken), noted))
            found.own_seconds = round(self.own_seconds - before, 3)
        self.done[part] = found
        return found

    def folds(self, folds: Sequence[int], run: TableRun, frames_of: Callable[[Sequence[int]], Frames]) -> list[Part]:
        """Return the parts of the asked folds; those that do not stand are made together.

        Args:
            folds: the folds.
            run: what is known of the run.
            frames_of: gives what some folds are made of.
        """
        frames = {fold: frames_of((fold,)) for fold in folds}
        taken = {fold: self.table.taken(frames[fold]) for fold in folds}
        found = {
            fold: self.standing(str(fold), replace(run, folds=(fold,)), frames[fold], taken[fold]) for fold in folds
        }
        todo = tuple(fold for fold, part in found.items() if part is None)
        if todo:
            with self._noting(run) as noted:
                rows = self._made(self._looking(replace(run, folds=todo), noted), self.table.taken(frames_of(todo)))
            for fold in todo:
                own = replace(run, folds=(fold,), notes=dict(run.notes))
                basis = self._basis(self._of_rows(own, taken[fold]), noted)
                found[fold] = self._held(rows.filter(pl.col("fold") == fold), own, frames[fold], basis)
        parts = [part for fold in folds if (part := found[fold]) is not None]
        self.done.update(zip(map(str, folds), parts, strict=True))
        return parts

    def lies_there(self, *, all_parts: bool) -> bool:
        """Return whether what was made lies in the lake already, row for row.

        Args:
            all_parts: what is done is the whole table, so that nothing else may lie there.
        """
        if self._stored is None:
            return False
        if all_parts and self.table.by is not None and self._lying_parts() - set(self.done):
            return False
        return all(
            part.standing
            or (
                (before := self._records.find(self.table.name, name)) is not None
                and before.made == part.record.made
                and before.rows == frame_digest(self._lying(name))
            )
            for name, part in self.done.items()
        )

    def keep_records(self, run: TableRun) -> None:
        """Keep the record of each part, now that all of them are stored."""
        self._stored = self.lake.stored(self.table.name)
        for name, part in self.done.items():
            lying = self._lying(name)
            if not part.standing:
                for file in self._beside(run, lying):
                    run.store.publish(file, file.relative_to(run.data).as_posix())
            record = replace(part.record, rows=frame_digest(lying), files=self._files(run, lying))
            if part.again:
                self._records.forget(self.table.name, name)
            elif record != part.kept:
                self._records.keep(self.table.name, name, record)

    def _made(self, run: TableRun, frames: Frames) -> pl.DataFrame:
        start = time.perf_counter()
        try:
            frame = self.table.conform(self.table.make(run, **frames))
        except OSError as error:  # of a library that writes files by itself
            disk_fails = error.errno in (*NO_ROOM, errno.EIO, errno.EROFS)
            if disk_fails and (fault := write_fault(Path(error.filename or self.lake.store.root), error)) is not None:
                raise fault from error
            raise
        self.own_seconds += time.perf_counter() - start
        return frame

    def _held(
        self, rows: pl.DataFrame, run: TableRun, frames: Frames, basis: Basis, kept: Record | None = None
    ) -> Part:
        """Hold a part that was made, or that stands with a record that is kept, against the checks."""
        findings, broken = {}, []
        with self._noting(run) as noted:
            looking = self._looking(run, noted)
            for each in self.checks:
                known = {**frames, self.table.name: rows}
                breaking = each.find(looking, **{name: known[name] for name in each.reads})
                findings[each.name] = Finding(0)
                if breaking.height:
                    first = breaking.row(0, named=True)
                    shown = rows_in_markdown(breaking, SHOWN_ROWS, SHOWN_LETTERS)
                    findings[each.name] = Finding(breaking.height, row_in_words(first), shown)
                if breaking.height and each.blocking:
                    broken.append(f"{breaking.height} rows break {each.name}, the first: {first}.")
        checked = self._basis(self._of_checks(run, frames), noted) if self.checks else None
        made = frame_digest(rows) if kept is None else kept.made
        record = Record(basis, checked, made, "", "", dict(run.notes), findings)
        return Part(rows, dict(run.notes), findings, broken, record, kept=kept, again=run.again)

    def _basis(self, ingredients: Ingredients, noted: "_Noted") -> Basis:
        looked_up = {name: self.lake.digest(name) for name in sorted(noted.looked_up)}
        return Basis(ingredients, noted.settings.digests(), looked_up)

    def _of_rows(self, run: TableRun, taken: Frames) -> Ingredients:
        outside = {} if self.table.outside is None else {self.table.name: text_digest(self.table.outside(run))}
        return Ingredients(self.code.rows.digests, self.code.rows.libraries, self._digests_of(taken, taken), outside)

    def _of_checks(self, run: TableRun, frames: Frames) -> Ingredients:
        reads = {name for each in self.checks for name in each.reads} - {self.table.name}
        outside = {each.name: text_digest(each.outside(run)) for each in self.checks if each.outside is not None}
        code = self.code.checks
        return Ingredients(code.digests, code.libraries, self._digests_of(reads, frames), outside)

    def _digests_of(self, names: Iterable[str], frames: Frames) -> dict[str, str]:
        return {name: self._digest(frames[name]) for name in sorted(names)}

    def _digest(self, frame: pl.DataFrame) -> str:
        if id(frame) not in self._digests:
            self._digests[id(frame)] = (frame, frame_digest(frame))
        return self._digests[id(frame)][1]

    def _files(self, run: TableRun, rows: pl.DataFrame) -> str:
        return files_digest(self.lake.store, rows, self._beside(run, rows))

    def _beside(self, run: TableRun, rows: pl.DataFrame) -> list[Path]:
        return self.table.beside(run, rows) if self.table.beside is not None else []

    def _lying(self, part: str) -> pl.DataFrame:
        """Return the rows of a part as they lie in the lake."""
        if self._stored is None:
            return pl.DataFrame()
        if self.table.by is None:
            return self._stored
        return self._stored.filter(pl.col(self.table.by).cast(pl.String) == part)

    def _lying_parts(self) -> set[str]:
        if self._stored is None or self.table.by is None:
            return set()
        return set(self._stored[self.table.by].cast(pl.String).unique())

    @contextmanager
    def _noting(self, run: TableRun) -> Iterator["_Noted"]:
        with settings_read(run.profile) as read:
            yield _Noted(read)

    def _looking(self, run: TableRun, noted: "_Noted") -> TableRun:
        """Return the run with its look-ups noted, and whether the table is forced."""

        def stored(name: str) -> pl.DataFrame | None:
            noted.looked_up.add(name)
            return run.stored(name)

        return replace(run, stored=stored, forced=self._force)

    def _said(self, part: str) -> str:
        return "" if part == WHOLE else f"{self.table.by} {part} is "


@dataclass
class _Noted:
    settings: SettingsRead
    looked_up: set[str] = field(default_factory=set)
