"""One execution of one table's body, with its checks and the hospitals that bad input stops on the way.

What lives here: making a table whole or institution by institution, holding it against its checks, what is told of it.
What does not: how a table becomes an asset of a view (`views`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    DataVersion,
    MetadataValue,
    Output,
)

from olvf_assets.foundation.arrivals import FOLDER_STATE, record_stored
from olvf_assets.foundation.code_identity import code_of
from olvf_assets.foundation.errors import MachineError, OlvfError, StaleError
from olvf_assets.foundation.lake import UnchangedFrame
from olvf_assets.foundation.made import WHOLE, text_digest
from olvf_assets.foundation.parts import Lake as LakeAtHand
from olvf_assets.foundation.parts import Part, Parts
from olvf_assets.foundation.tables import Check, Dimension, Table, TableRun
from olvf_assets.foundation.unexpected import told_without_content

if TYPE_CHECKING:
    from olvf_assets.resources import StudyResource

INSTITUTIONS_CHECK = "every_institution_taken_in"
OWN_SECONDS = "own_work_seconds"  # time in the table's own function, as against storage, checks and Dagster
UNCHANGED = "olvf/unchanged"
GATE = "intake"  # the room beyond which nothing names a patient


class BrokenRuleError(OlvfError):
    """A blocking check found rows that break its rule, so the table was not written."""


class DevelopmentHospitalLeftOutError(OlvfError):
    """What is learnt from would change because a development hospital was stopped; nobody decided that."""


class Step:
    """One execution of one table's body, with its checks."""

    def __init__(
        self,
        context: AssetExecutionContext,
        study: "StudyResource",
        spec: Table,
        checks: Sequence[Check],
        *,
        force: bool = False,
    ) -> None:
        self.context, self.study, self.spec, self.checks = context, study, spec, checks
        self.stopped: dict[str, str] = {}
        self.broken: list[str] = []
        self.made_keys: list[str] = []  # institutions made, also those that have no row in this table
        self.folder_states: dict[str, str] = {}
        self.metadata: dict[str, Any] = {}
        lake = LakeAtHand(study.store.root, study.stored, study.stored_digest)
        self.parts = Parts(
            spec, checks, code_of(spec, checks), study.profile, lake, force=force, report=context.log.info
        )

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

    def output(self, frame: pl.DataFrame, *, all_parts: bool) -> "Output[pl.DataFrame]":
        """Return what Dagster stores; rows that lie in the lake already are not written again.

        Args:
            frame: the rows.
            all_parts: they are the whole table.
        """
        self.metadata[OWN_SECONDS] = self.parts.own_seconds
        if self.parts.lies_there(all_parts=all_parts):
            self.metadata[UNCHANGED] = True
            self.context.log.info(f"{self.spec.name} is unchanged: {frame.height} rows")
            frame = UnchangedFrame(frame)
        digests = [part.record.made for _, part in sorted(self.parts.done.items())]
        return Output(frame, metadata=self.metadata, data_version=DataVersion(text_digest(digests)[:32]))

    def keep_records(self) -> None:
        """Keep what the parts were made of, now that they are stored."""
        self.parts.keep_records(self._run())

    def check_results(self) -> Iterator[AssetCheckResult]:
        """Yield one result per check, each with the rows that break it."""
        for each in self.checks:
            found = [part.findings[each.name] for _, part in sorted(self.parts.done.items())]
            count = sum(breaking for breaking, _ in found)
            metadata: dict[str, Any] = {"breaking_rows": count}
            if count:
                metadata["rows"] = MetadataValue.md("\n\n".join(text for _, text in found if text))
            severity = AssetCheckSeverity.ERROR if each.blocking else AssetCheckSeverity.WARN
            yield AssetCheckResult(check_name=each.name, passed=count == 0, severity=severity, metadata=metadata)
        if self.spec.by == "institution":
            yield AssetCheckResult(check_name=INSTITUTIONS_CHECK, passed=not self.stopped, metadata=dict(self.stopped))

    def _rows(self, part: Part, institution: str = "") -> pl.DataFrame:
        """Return the rows of a part, once what is told of it is noted."""
        prefix = f"{institution}: " if institution else ""
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
