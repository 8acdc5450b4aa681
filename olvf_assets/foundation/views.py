"""From tables and checks to Dagster's two views of one graph.

What lives here: everything that must know Dagster about a table: partitions, inputs, checks, storage metadata, and how
a bad institution is kept from stopping the others. What does not: any table.

`operations`: tables are partitioned; one run makes one partition. `study`: nothing is partitioned; one run makes all
partitions, logs each as materialised for the operations view, and the tables a user names carry their whole ancestry.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetIn,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetsDefinition,
    AutomationCondition,
    Failure,
    MetadataValue,
    Output,
    PythonObjectDagsterType,
    TableColumnDep,
    TableColumnLineage,
    asset,
)

from olvf_assets.foundation.errors import MachineError, OlvfError, StaleError
from olvf_assets.foundation.partitions import ALL_PARTITIONS, FOLDS, INSTITUTION_PARTITIONS, partitions_of
from olvf_assets.foundation.tables import Check, Table, TableRun, all_reads, ancestors

if TYPE_CHECKING:
    from olvf_assets.resources import StudyResource

View = Literal["operations", "study"]
FRAME = PythonObjectDagsterType(pl.DataFrame, name="polars_frame")
INSTITUTIONS_CHECK = "every_institution_taken_in"
OWN_SECONDS = "own_work_seconds"  # time in the table's own function, as against storage, checks and Dagster
SHOWN_ROWS = 20


class BrokenRuleError(OlvfError):
    """A blocking check found rows that break its rule, so the table was not written."""


class DevelopmentHospitalLeftOutError(OlvfError):
    """What is learnt from would change because a development hospital was stopped; nobody decided that."""


def build_assets(
    view: View, tables: Sequence[Table], checks: Sequence[Check], targets: Sequence[str], automatic: Sequence[str] = ()
) -> list[AssetsDefinition]:
    """Return the assets of one view.

    Args:
        view: which of the two views.
        tables: all tables of the project.
        checks: all checks; each runs in its table's step, before the table is written.
        targets: tables whose whole ancestry is declared in the study view, so that `+name` selects all of it.
        automatic: tables that the operations view makes again by itself when something they rest on was made.
    """
    by_table: dict[str, list[Check]] = {each.name: [] for each in tables}
    for each in checks:
        by_table[each.table].append(each)
    reads = all_reads(tables, checks)
    whole = {name: ancestors(name, reads) for name in targets} if view == "study" else {}
    dimensions = {each.name: each.by for each in tables}
    eager = AutomationCondition.eager() if view == "operations" else None
    return [
        _build(
            view,
            each,
            by_table[each.name],
            reads[each.name],
            dimensions,
            whole.get(each.name, []),
            eager if each.name in automatic else None,
            rests_on=frozenset(ancestors(each.name, reads)) if each.learns else frozenset(),
            closing=each.name in targets,
        )
        for each in tables
    ]


def _build(
    view: View,
    spec: Table,
    checks: list[Check],
    reads: list[str],
    dimensions: dict[str, Any],
    whole_ancestry: list[str],
    automation: "AutomationCondition[Any] | None",
    *,
    rests_on: frozenset[str],
    closing: bool,
) -> AssetsDefinition:
    operations = view == "operations"
    check_specs = [
        AssetCheckSpec(each.name, asset=spec.name, blocking=each.blocking, description=each.description)
        for each in checks
    ]
    if spec.by == "institution":
        description = "No institution was stopped by bad input; a stopped one is left out and the others go on."
        check_specs.append(AssetCheckSpec(INSTITUTIONS_CHECK, asset=spec.name, description=description))

    def mapping(upstream: str) -> Any:
        crosses = operations and dimensions[upstream] is not None and dimensions[upstream] != spec.by
        return ALL_PARTITIONS if crosses else None

    @asset(
        name=spec.name,
        ins={name: AssetIn(dagster_type=FRAME, partition_mapping=mapping(name)) for name in reads},
        deps=[AssetKey(name) for name in whole_ancestry if name not in reads],
        partitions_def=partitions_of(spec.by) if operations else None,
        metadata=_storage_metadata(view, spec),
        group_name=spec.room,
        description=spec.description,
        dagster_type=FRAME,
        pool=spec.pool,
        check_specs=check_specs,
        automation_condition=automation,
        required_resource_keys={"study"},
        io_manager_key="lake",
    )
    def body(context: AssetExecutionContext, **frames: pl.DataFrame) -> Iterator[Any]:
        study: StudyResource = context.resources.study
        frames = {name: _in_order(frame) for name, frame in frames.items()}
        step = _Step(context, study, spec, checks)
        if spec.learns:
            step.refuse_to_learn_without_a_hospital(rests_on)
        if spec.by == "institution":
            frame = step.make_institutions(_institutions(context, study), frames, dimensions)
        elif spec.by == "fold":
            folds = (int(context.partition_key),) if context.has_partition_key else FOLDS
            frame = step.make(frames, folds=folds)
        else:
            frame = step.make(frames)
        yield from step.check_results()
        if step.broken:
            raise Failure(f"{spec.name} was not written. " + " ".join(step.broken))
        yield Output(frame, metadata=step.metadata)
        if closing:
            for stop in study.left_out():
                context.log.warning(stop.text)
        if view == "study" and spec.by is not None:
            for key in frame[spec.by].unique().sort().cast(pl.String):
                yield AssetMaterialization(AssetKey(spec.name), partition=key)

    return body


class _Step:
    """One execution of one table's body, with its checks."""

    def __init__(
        self, context: AssetExecutionContext, study: "StudyResource", spec: Table, checks: Sequence[Check]
    ) -> None:
        self.context, self.study, self.spec, self.checks = context, study, spec, checks
        self.findings: dict[str, list[pl.DataFrame]] = {each.name: [] for each in checks}
        self.stopped: dict[str, str] = {}
        self.broken: list[str] = []
        self.study_is_at_fault = False  # a rule over the study's own tables is broken, not one over a hospital's input
        self.metadata: dict[str, Any] = {}

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

    def make(self, frames: dict[str, pl.DataFrame], *, folds: tuple[int, ...] = ()) -> pl.DataFrame:
        """Return the whole table (or the asked folds of it)."""
        frame, self.broken = self._checked(self._run(folds=folds), frames)
        return frame

    def make_institutions(
        self, keys: Sequence[str], frames: dict[str, pl.DataFrame], dimensions: dict[str, Any]
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
                frame, broken = self._checked(self._run(institution=key), own)
                if broken:
                    raise BrokenRuleError(f"{self.spec.name} of {key} was not written. " + " ".join(broken))
            except (MachineError, StaleError):
                raise
            except OlvfError as error:
                broke = isinstance(error, BrokenRuleError)
                if broke and self.study_is_at_fault:
                    self.broken = [str(error)]
                    return frame
                self.study.stop(self.context.run_id, key, self.spec.name, str(error))
                if len(todo) == 1:
                    if broke:
                        self.broken = [str(error)]
                        return frame
                    raise
                self.context.log.error(f"{key} is left out of this run: {error}")
                self.stopped[key] = str(error)
            else:
                self.study.made(key, self.spec.name)
                made.append(frame)
        if not made:
            reasons = "; ".join(self.study.stopped(self.context.run_id).values())
            raise OlvfError(f"no institution is left for {self.spec.name}: {reasons or 'none is registered'}")
        return pl.concat(made)

    def check_results(self) -> Iterator[AssetCheckResult]:
        """Yield one result per check, each with the rows that break it."""
        for each in self.checks:
            rows = pl.concat(self.findings[each.name], how="diagonal_relaxed") if self.findings[each.name] else None
            count = 0 if rows is None else rows.height
            metadata: dict[str, Any] = {"breaking_rows": count}
            if rows is not None and count:
                metadata["rows"] = MetadataValue.md(_markdown(rows.head(SHOWN_ROWS)))
            severity = AssetCheckSeverity.ERROR if each.blocking else AssetCheckSeverity.WARN
            yield AssetCheckResult(check_name=each.name, passed=count == 0, severity=severity, metadata=metadata)
        if self.spec.by == "institution":
            yield AssetCheckResult(check_name=INSTITUTIONS_CHECK, passed=not self.stopped, metadata=dict(self.stopped))

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
            left_out=self.study.left_out(),
            stored=self.study.stored,
        )

    def _observe(self, figures: dict[str, Any]) -> None:
        self.context.log_event(AssetObservation(AssetKey(self.spec.name), metadata=figures))

    def _checked(self, run: TableRun, frames: dict[str, pl.DataFrame]) -> tuple[pl.DataFrame, list[str]]:
        """Make the table, then hold it against its checks. Returns it with the blocking rules that it breaks."""
        start = time.perf_counter()
        frame = self.spec.conform(self.spec.make(run, **{name: frames[name] for name in self.spec.reads}))
        self.metadata[OWN_SECONDS] = self.metadata.get(OWN_SECONDS, 0.0) + time.perf_counter() - start
        broken = []
        for each in self.checks:
            known = {**frames, self.spec.name: frame}
            rows = each.find(run, **{name: known[name] for name in each.reads})
            self.findings[each.name].append(rows)
            if rows.height and each.blocking:
                self.study_is_at_fault |= each.of_study
                broken.append(f"{rows.height} rows break {each.name}, the first: {rows.row(0, named=True)}.")
        prefix = f"{run.institution}: " if run.institution else ""
        self.metadata.update({prefix + name: value for name, value in run.notes.items()})
        return frame, broken


def _institutions(context: AssetExecutionContext, study: "StudyResource") -> list[str]:
    if context.has_partition_key:
        return [context.partition_key]
    keys = study.institutions()
    context.instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), keys)
    return keys


def _storage_metadata(view: View, spec: Table) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    # A release may add columns: a table written whole takes the new ones, one partition leaves the others' empty.
    if spec.by is not None and view == "operations":
        metadata["partition_by"] = spec.by
        metadata["delta_write_options"] = {"schema_mode": "merge"}
    elif spec.by is not None:
        metadata["delta_write_options"] = {"schema_mode": "overwrite", "partition_by": [spec.by]}
    else:
        metadata["delta_write_options"] = {"schema_mode": "overwrite"}
    if spec.column_sources:
        metadata["dagster/column_lineage"] = TableColumnLineage(
            {
                column: [TableColumnDep(asset_key=AssetKey(table), column_name=name) for table, name in sources]
                for column, sources in spec.column_sources.items()
            }
        )
    return metadata


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by every plain column: the lake keeps rows in no order, and equal tables must give equal results."""
    plain = [name for name, dtype in frame.schema.items() if not dtype.is_nested()]
    return frame.sort(plain) if plain else frame


def _markdown(rows: pl.DataFrame) -> str:
    with pl.Config(tbl_formatting="MARKDOWN", tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
                   tbl_rows=SHOWN_ROWS, tbl_cols=-1, fmt_str_lengths=200):  # fmt: skip
        return str(rows)
