"""From tables and checks to Dagster's two views of one graph.

What lives here: everything that must know Dagster about a table: partitions, inputs, checks, storage metadata. What
does not: any table, one execution of one (`steps`).

`operations`: tables are partitioned; one run makes one partition. `study`: nothing is partitioned; one run makes all
partitions, logs each as materialised for the operations view, and the tables a user names carry their whole ancestry.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from dagster import (
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AutomationCondition,
    Failure,
    PythonObjectDagsterType,
    TableColumn,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
    asset,
)

from olvf_assets.foundation.code_identity import Made, codes_of
from olvf_assets.foundation.made import forced
from olvf_assets.foundation.tables import COLUMN_SCHEMA, Check, Table, all_reads, ancestors, in_order
from olvf_assets.orchestration.kubernetes import demands
from olvf_assets.orchestration.partitions import ALL_PARTITIONS, FOLDS, INSTITUTION_PARTITIONS, partitions_of
from olvf_assets.orchestration.steps import INSTITUTIONS_CHECK, Step
from olvf_assets.storage.landing_folders import checked_key

if TYPE_CHECKING:
    from olvf_assets.orchestration.resources import StudyResource

View = Literal["operations", "study"]
# Who answers for the tables of a room.
OWNERS = {
    "intake": "team:data_intake",
    "cohort": "team:radiology",
    "detection": "team:imaging",
    "crops": "team:imaging",
    "classification": "team:imaging",
    "evaluation": "team:statistics",
    "attention": "team:imaging",
    "reporting": "team:reporting",
}
FRAME = PythonObjectDagsterType(pl.DataFrame, name="polars_frame")


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
    per_institution = [each.name for each in tables if each.by == "institution"]
    codes = codes_of(tables, by_table)
    return [
        _build(
            view,
            each,
            by_table[each.name],
            codes[each.name],
            reads[each.name],
            dimensions,
            whole.get(each.name, []),
            _made_again(each, per_institution) if view == "operations" and each.name in automatic else None,
            rests_on=frozenset(ancestors(each.name, reads)) if each.learns else frozenset(),
            closes=per_institution if each.name in targets else [],
        )
        for each in tables
    ]


def _build(
    view: View,
    spec: Table,
    checks: list[Check],
    code: Made,
    reads: list[str],
    dimensions: dict[str, Any],
    whole_ancestry: list[str],
    automation: "AutomationCondition[Any] | None",
    *,
    rests_on: frozenset[str],
    closes: list[str],
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
        deps=[
            *(AssetDep(name, partition_mapping=mapping(name)) for name in reads),
            *(AssetKey(name) for name in whole_ancestry if name not in reads),
        ],
        partitions_def=partitions_of(spec.by) if operations else None,
        metadata=_storage_metadata(view, spec),
        group_name=spec.room,
        owners=[OWNERS[spec.room]] if spec.room in OWNERS else [],
        kinds=set(spec.kinds),
        description=spec.description,
        dagster_type=FRAME,
        pool=spec.pool,
        op_tags=demands(spec.pool),
        check_specs=check_specs,
        code_version=code.version,
        automation_condition=automation,
        required_resource_keys={"study"},
        io_manager_key="lake",
    )
    def body(context: AssetExecutionContext) -> Iterator[Any]:
        study: StudyResource = context.resources.study
        frames = {name: in_order(study.table(name)) for name in reads}
        if operations:  # a partition that was deleted there is no institution any more, though its rows may lie on
            known = pl.col("institution").is_in(context.instance.get_dynamic_partitions(INSTITUTION_PARTITIONS.name))
            frames = {n: each.filter(known) if dimensions[n] == "institution" else each for n, each in frames.items()}
        step = Step(context, study, spec, checks, code, reads, force=spec.name in forced(dimensions))
        if spec.learns:
            step.refuse_to_learn_without_a_hospital(rests_on)
        if spec.by == "institution":
            keys = _institutions(context, study)
            frame = step.make_institutions(keys, frames, dimensions)
        elif spec.by == "fold":
            folds = (int(context.partition_key),) if step.one_partition else FOLDS
            frame = step.make_folds(folds, frames, dimensions)
        else:
            frame = step.make(frames)
        yield from step.check_results()
        if step.broken:
            raise Failure(f"{spec.name} was not written. " + " ".join(step.broken))
        yield step.output(frame)
        step.keep_records()
        if spec.by == "institution":  # Dagster stores an output before it asks for what comes after it
            step.note_stored(keys, [name for name in spec.reads if dimensions[name] == "institution"])
        if closes:
            step.note_closed(closes)
            for stop in study.left_out():
                context.log.warning(stop.text)
        if whole_ancestry:
            yield step.told_again(frame)

    return body


def _made_again(spec: Table, per_institution: Sequence[str]) -> "AutomationCondition[Any]":
    """Return when a table is made again by itself: when something it rests on was, and all of that is there.

    Of a table per institution some must be there, not every institution's: one whose sheet is bad, or that is only
    registered, would keep the others' rows out of every table downstream.
    """
    eager = AutomationCondition.eager()
    if spec.by == "institution":
        return eager
    institutions = AssetSelection.assets(*per_institution)
    there = ~AutomationCondition.missing() | AutomationCondition.will_be_requested()
    nothing_missing = AutomationCondition.any_deps_missing().ignore(institutions)
    some_institution = AutomationCondition.all_deps_match(there).allow(institutions)
    return eager.replace("any_deps_missing", nothing_missing) & some_institution


def _institutions(context: AssetExecutionContext, study: "StudyResource") -> list[str]:
    if context.has_partition_key:
        return [checked_key(context.partition_key)]
    keys = study.institutions()
    context.instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), keys)
    return keys


def _storage_metadata(view: View, spec: Table) -> dict[str, Any]:
    columns = [TableColumn(name, str(dtype), spec.columns.get(name)) for name, dtype in spec.schema.items()]
    metadata: dict[str, Any] = {COLUMN_SCHEMA: TableSchema(columns)}
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
