"""Why a table would be made again, for whoever asks before a run.

What lives here: applying the rule to tables as they lie in the lake, without making anything. What does not: the rule
(`foundation/made.py`), and the run itself, which applies it anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.made import WHOLE, NoSuchTableError
from olvf_assets.foundation.table_code import code_of
from olvf_assets.foundation.tables import Check, Table, TableRun, all_reads, ancestors, in_order
from olvf_assets.orchestration.partitions import FOLDS
from olvf_assets.orchestration.parts import Lake, Parts
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.records import Records


def why(asked: str, study: StudyResource, tables: Sequence[Table], checks: Sequence[Check]) -> list[str]:
    """Return, in lines, what has changed since a table was made, and which tables it rests on would be made before.

    Args:
        asked: the table's name.
        study: where it lies.
        tables: those of the project.
        checks: those of the project.

    Raises:
        NoSuchTableError: there is no such table.
    """
    by_name = {each.name: each for each in tables}
    if asked not in by_name:
        raise NoSuchTableError(f"there is no table {asked}; `make sql` and `show tables` list them")
    dimensions = {each.name: each.by for each in tables}
    reads = all_reads(tables, checks)
    own = list(_reasons(by_name[asked], reads[asked], study, checks, dimensions))
    lines = own or [f"{asked}: nothing that it is made of has changed"]
    first = [
        name
        for name in ancestors(asked, reads)
        if not by_name[name].always and any(_reasons(by_name[name], reads[name], study, checks, dimensions))
    ]
    if first:
        lines.append(f"before it are made: {', '.join(first)}; if their rows come out as they were, {asked} stands")
    return lines


def _reasons(
    table: Table,
    reads: Sequence[str],
    study: StudyResource,
    checks: Sequence[Check],
    dimensions: Mapping[str, str | None],
) -> Iterator[str]:
    if table.always:
        yield f"{table.name}: is made in every run, to see what has arrived; equal rows are not written again"
        return
    if missing := [name for name in reads if study.stored(name) is None]:
        yield f"{table.name}: what it is made of was never made: {', '.join(missing)}"
        return
    frames = {name: in_order(study.table(name)) for name in reads}
    own = [each for each in checks if each.table == table.name]
    lake = Lake(study.store, study.stored, study.stored_digest)
    parts = Parts(table, own, code_of(table, own, study.profile), lake)
    for part, run in _parts(table, study):
        record = Records(study.store).find(table.name, part)
        name = table.name if part == WHOLE else f"{table.name} of {table.by} {part}"
        if record is None:
            yield f"{name}: was never made, or is to be made again whatever has changed"
            continue
        made_of = {
            each: frame.filter(pl.col(str(table.by)).cast(pl.String) == part)
            if table.by is not None and dimensions[each] == table.by
            else frame
            for each, frame in frames.items()
        }
        try:
            found = list(parts.reasons(part, record, run, table.taken(made_of))) or [
                f"only its checks are asked again: {each}" for each in parts.reasons_to_check(record, run, made_of)
            ]
        except OlvfError as error:
            found = [str(error)]
        yield from (f"{name}: {reason}" for reason in found)


def _parts(table: Table, study: StudyResource) -> Iterator[tuple[str, TableRun]]:
    run = TableRun(study.profile, study.store, study.data, stored=study.stored)
    if table.by == "institution":
        yield from ((key, replace(run, institution=key)) for key in study.institutions())
    elif table.by == "fold":
        yield from ((str(fold), replace(run, folds=(fold,))) for fold in FOLDS)
    else:
        yield WHOLE, run
