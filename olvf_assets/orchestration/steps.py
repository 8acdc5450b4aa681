"""One execution of one table's body, with its checks and the hospitals that bad input stops on the way.

What lives here: making a table whole or institution by institution, holding it against its checks, what is told of it.
What does not: how a table becomes an asset of a view (`views`).
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    BetaWarning,
    DataVersion,
    MetadataValue,
    Output,
)

from olvf_assets.foundation.errors import MachineError, OlvfError, StaleError
from olvf_assets.foundation.made import WHOLE
from olvf_assets.foundation.table_code import TableCode
from olvf_assets.foundation.tables import OWN_SECONDS, ROWS, UNCHANGED, Check, Dimension, FrameToStore, Table, TableRun
from olvf_assets.foundation.unexpected import told_without_content
from olvf_assets.orchestration.parts import Finding, Part, Parts
from olvf_assets.orchestration.parts import Lake as LakeAtHand
from olvf_assets.orchestration.shown import shown, shown_of_part
from olvf_assets.orchestration.versions import data_version, seen_now, version_tags
from olvf_assets.storage.taken_in import FOLDER_STATE, record_stored

if TYPE_CHECKING:
    from olvf_assets.orchestration.resources import StudyResource

INSTITUTIONS_CHECK = "every_institution_taken_in"
GATE = "intake"  # the room beyond which nothing names a patient


class BrokenRuleError(OlvfError):
    """A blocking check found rows that break its rule, so the table was not written."""


class DevelopmentHospitalLeftOutError(OlvfError):
    """What is learnt from would change because a development hospital was stopped; nobody decided that."""


class Step:
    """One execution of one table's body, with its checks.

    Args:
        context: Dagster's.
        study: what tables there are.
        spec: the table.
        checks: its checks.
        code: what table and checks are made of.
        reads: the tables that they read.
        force: it is made again whatever the rule says.
    """

    def __init__(
        self,
        context: AssetExecutionContext,
        study: "StudyResource",
        spec: Table,
        checks: Sequence[Check],
        code: TableCode,
        reads: Sequence[str],
        *,
        force: bool = False,
    ) -> None:
        self.context, self.study, self.spec, self.checks = context, study, spec, checks
        # A run with a partition key may make whole tables, too.
        self.one_partition = spec.by is not None and context.has_partition_key
        self.stopped: dict[str, str] = {}
        self.broken: list[str] = []
        self.made_keys: list[str] = []  # institutions made, also those that have no row in this table
        self.folder_states: dict[str, str] = {}
        self.metadata: dict[str, Any] = {}
        lake = LakeAtHand(study.store, study.stored, study.stored_digest)
        self.parts = Parts(spec, checks, code, lake, force=force, report=context.log.info)
        self._seen = seen_now(context.instance, reads)

    def refuse_to_learn_without_a_hospital(self, rests_on: frozenset[str]) -> None:
        """Raise if a development hospital lacks rows of a table that this one rests on, unless that was decided.

        Raises:
            DevelopmentHospitalLeftOutError: names hospital, reason and the ways out.
        """
        decided = self.study.train_without()
        for stop in self.study.left_out():
            if stop.role != "development" or stop.table not in rests_on:
                continue
            key = stop.institution
            if key not in decided:
                raise DevelopmentHospitalLeftOutError(
                    f"{self.spec.name} is not made, nor is anything learnt: {stop.text}. Mend what the reason names "
                    f"and start again; or decide to learn without {key}: `train_without: [{key}]` in the profile, or "
                    f"OLVF_TRAIN_WITHOUT={key}. What was learnt before stays as it is"
                )
            self.context.log.warning(f"Learning goes on without {key}, as train_without says: {stop.text}")

    def make(self, frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
        """Return the whole table."""
        return self._rows(self.parts.part(WHOLE, self._run(), frames))

    def make_folds(
        self, folds: tuple[int, ...], frames: dict[str, pl.DataFrame], dimensions: Mapping[str, Dimension | None]
    ) -> pl.DataFrame:
        """Return the rows of the asked folds; those that must be made are made together."""

        def frames_of(some: Sequence[int]) -> dict[str, pl.DataFrame]:
            own = pl.col("fold").is_in(some)
            return {name: frame.filter(own) if dimensions[name] == "fold" else frame for name, frame in frames.items()}

        return pl.concat(map(self._rows, self.parts.folds(folds, self._run(), frames_of)), how="vertical_relaxed")

    def make_institutions(
        self, keys: Sequence[str], frames: dict[str, pl.DataFrame], dimensions: Mapping[str, Dimension | None]
    ) -> pl.DataFrame:
        """Return the rows of every institution that can be made; bad input stops its institution and no other.

        When none of several can be made, or the only one asked for cannot, the error goes up; a fault of the machine
        always does.
        """
        made: list[pl.DataFrame] = []
        todo = [key for key in keys if key not in self.study.stopped(self.context.run_id)]
        for key in todo:
            own = {
                name: frame.filter(pl.col("institution") == key) if dimensions[name] == "institution" else frame
                for name, frame in frames.items()
            }
            try:
                part = self.parts.part(key, self._run(institution=key), own)
                frame = self._rows(part, key)
                if part.broken:
                    raise BrokenRuleError(f"{self.spec.name} of {key} was not written. " + " ".join(part.broken))
            except Exception as raised:
                error = self._told(raised, key)
                if isinstance(error, MachineError | StaleError) or not isinstance(error, OlvfError):
                    raise error from None
                self.study.stop(self.context.run_id, key, self.spec.name, str(error))
                if len(todo) == 1:
                    if isinstance(error, BrokenRuleError):
                        self.broken = [str(error)]
                        return frame
                    raise error from None
                self.parts.done.pop(key, None)
                self.context.log.error(f"{key} is left out of this run: {error}")
                self.stopped[key] = str(error)
            else:
                self.study.made(key, self.spec.name)
                made.append(frame)
                self.made_keys.append(key)
        if not made:
            reasons = "; ".join(self.study.stopped(self.context.run_id).values())
            raise OlvfError(f"no institution is left for {self.spec.name}: {reasons or 'none is registered'}")
        self.broken = []
        return pl.concat(made, how="vertical_relaxed")

    def _told(self, error: Exception, institution: str) -> Exception:
        """Return an error fit for the event log: tables of the gate read files that name patients."""
        if self.spec.room != GATE:
            return error
        return told_without_content(error, f"{self.spec.name} of {institution}")

    def note_stored(self, keys: Sequence[str], reads: Sequence[str]) -> None:
        """Note, now that the table is in the lake, from which state of its landing folder each institution's part is.

        Args:
            keys: the institutions that were asked for; a table written whole holds nothing of those not made.
            reads: the tables per institution that this one was made from.
        """
        for key in keys:
            made = key in self.made_keys
            state = self.folder_states.get(key) if made else None
            record_stored(self.study.store, key, self.spec.name, state=state, reads=reads if made else ())

    def note_closed(self, per_institution: Sequence[str]) -> None:
        """Note of which state of its landing folder each institution's tables are that this closing table rests on."""
        for key in self.study.institutions():
            record_stored(self.study.store, key, self.spec.name, reads=per_institution)

    def output(self, frame: pl.DataFrame) -> "Output[pl.DataFrame]":
        """Return what Dagster stores, and is told of; rows that lie in the lake already are not written again.

        Of a table that is made whole, each partition is told of, too.
        """
        self.metadata[OWN_SECONDS] = round(self.parts.own_seconds, 3)
        if self.parts.lies_there(all_parts=not self.one_partition):
            self.metadata[UNCHANGED] = True
            self.context.log.info(f"{self.spec.name} is unchanged: {frame.height} rows")
        several = self.spec.by is not None and not self.one_partition
        shown_of_parts: dict[str, dict[str, Any]] = {}
        if several:
            for key, part in self.parts.done.items():
                shown_of_parts[key] = shown_of_part(self.spec, frame, key, part, self._picture)
        self.metadata.update(shown(self.spec, frame, shown_of_parts, self._picture))
        rows = FrameToStore(
            frame,
            lies_there=UNCHANGED in self.metadata,
            told_of_parts=lambda: self._partitions(shown_of_parts),
        )
        version = DataVersion(data_version([part.record.made for _, part in sorted(self.parts.done.items())]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BetaWarning)  # of data_version
            return Output(rows, metadata=self.metadata, data_version=version)

    def told_again(self, frame: pl.DataFrame) -> AssetMaterialization:
        """Return what is told of a table that declares its whole ancestry, with what it was really made from.

        Dagster has noted all of its ancestors as inputs of it. The operations view, where it has its own inputs only,
        would call it stale for that.
        """
        digests = [part.record.made for part in self.parts.done.values()]
        tags = version_tags(self.parts.code.version, data_version(digests), self._seen)
        return AssetMaterialization(AssetKey(self.spec.name), metadata={ROWS: frame.height, **self.metadata}, tags=tags)

    def keep_records(self) -> None:
        """Keep what the parts were made of, now that they are stored."""
        self.parts.keep_records(self._run())

    def _partitions(self, shown: Mapping[str, dict[str, Any]]) -> Iterator[AssetMaterialization]:
        """Yield what is told of each of several partitions, whose metadata are given."""
        for key, metadata in shown.items():
            digest = self.parts.done[key].record.made
            tags = version_tags(self.parts.code.version, data_version([digest]), self._seen)
            yield AssetMaterialization(AssetKey(self.spec.name), partition=key, metadata=metadata, tags=tags)

    def _picture(self, path: str) -> Path:
        store = self.study.store
        return store.at_hand(path) if store.exists(path) else self.study.data / "reports" / path

    def check_results(self) -> Iterator[AssetCheckResult]:
        """Yield one result per check: in words what it found, and the rows that break it."""
        for each in self.checks:
            found = [part.findings[each.name] for _, part in sorted(self.parts.done.items())]
            count = sum(each.breaking for each in found)
            metadata: dict[str, Any] = {"breaking_rows": count}
            if count:
                metadata["rows"] = MetadataValue.md("\n\n".join(each.shown for each in found if each.shown))
            severity = AssetCheckSeverity.ERROR if each.blocking else AssetCheckSeverity.WARN
            yield AssetCheckResult(
                check_name=each.name,
                passed=count == 0,
                severity=severity,
                metadata=metadata,
                description=self._verdict(found),
            )
        if self.spec.by == "institution":
            yield AssetCheckResult(
                check_name=INSTITUTIONS_CHECK,
                passed=not self.stopped,
                metadata=dict(self.stopped),
                description=self._who_is_left_out(),
            )

    def _verdict(self, found: Sequence[Finding]) -> str:
        """Return what a check found, in a line."""
        held, breaking = (
            sum(part.rows.height for part in self.parts.done.values()),
            [each for each in found if each.breaking],
        )
        if not breaking:
            return f"all {held} rows hold" if held else "there is no row that could break it"
        n = sum(each.breaking for each in breaking)
        count = "1 row breaks it" if n == 1 else f"{n} rows break it"
        return f"{count}; {self.spec.name} has {held}; the first: {breaking[0].first}"

    def _who_is_left_out(self) -> str:
        if not self.stopped:
            return f"taken in: {', '.join(self.made_keys)}" if self.made_keys else "no institution was left out"
        asked = len(self.stopped) + len(self.made_keys)
        return f"{len(self.stopped)} of {asked} institutions left out: {', '.join(self.stopped)}"

    def _rows(self, part: Part, institution: str = "") -> pl.DataFrame:
        """Return the rows of a part, once what is told of it is noted."""
        prefix = f"{institution}: " if institution and not self.one_partition else ""
        if FOLDER_STATE in part.notes:
            self.folder_states[institution] = str(part.notes[FOLDER_STATE])
        self.metadata.update({prefix + name: value for name, value in part.notes.items()})
        self.broken += part.broken
        return part.rows

    def _run(self, *, institution: str = "", folds: tuple[int, ...] = ()) -> TableRun:
        prefix = f"{institution}: " if institution else ""
        return TableRun(
            profile=self.study.profile,
            store=self.study.store,
            data=self.study.data,
            institution=institution,
            folds=folds,
            report=lambda line: self.context.log.info(prefix + line),
            observe=self._observe,
            stored=self.study.stored,
        )

    def _observe(self, figures: dict[str, Any]) -> None:
        self.context.log_event(AssetObservation(AssetKey(self.spec.name), metadata=figures))
