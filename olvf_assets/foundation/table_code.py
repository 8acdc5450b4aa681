"""What tables and their checks are made of.

What lives here: applying `code_identity.py` to a table's own functions and to its checks, apart from each other, for
rows stand where only a check has changed (`made.py`). What does not: following a function.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from olvf_assets.foundation import code_identity
from olvf_assets.foundation.code_identity import Made
from olvf_assets.foundation.code_units import sha256
from olvf_assets.foundation.settings import Settings, setting_digest
from olvf_assets.foundation.tables import Check, Table


@dataclass(frozen=True)
class TableCode:
    """What a table is made of, and what its checks are made of.

    Attributes:
        rows: of the table's own function and columns.
        checks: of its checks.
        settings: digests of what either may read of the profile at hand, at the first level: seed, evaluation, ...
    """

    rows: Made = field(default_factory=Made)
    checks: Made = field(default_factory=Made)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Return what Dagster calls the code version of the table: 16 hex digits that change when anything here does.

        Settings are part of it, whole rooms of them: the UI says that a table may be outdated, a run whether it is.
        """
        both = self.rows | self.checks
        return sha256(json.dumps([both.digests, both.libraries, self.settings], sort_keys=True))[:16]


def codes_of(tables: Sequence[Table], checks: Mapping[str, Sequence[Check]], profile: Settings) -> dict[str, TableCode]:
    """Return what each table is made of, by name, and keep it for later processes.

    Args:
        tables: the tables.
        checks: the checks of each table, by its name.
        profile: the settings at hand.
    """
    codes = {each.name: code_of(each, checks[each.name], profile) for each in tables}
    code_identity.sources().kept.save()
    return codes


def code_of(table: Table, checks: Sequence[Check], profile: Settings) -> TableCode:
    """Return what a table with its columns and its checks are made of; arguments as `codes_of`."""
    rows, held = Made({"the table's columns": sha256(str(table.schema))}), Made()
    for function in (table.make, *([table.takes] if table.takes is not None else [])):
        rows |= code_identity.sources().of(function)
    for each in checks:
        held |= code_identity.sources().of(each.find)
    read = {*rows.settings, *held.settings} & set(type(profile).model_fields)
    return TableCode(rows, held, {name: setting_digest(profile, name) for name in sorted(read)})
