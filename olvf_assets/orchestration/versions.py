"""The versions by which Dagster's UI knows what is out of date, so that it says of a table what the rule says.

What lives here: the tags of a materialisation that Dagster does not write by itself. What does not: the digests that
they carry (`made.py`, `code_identity.py`).

A table's code version is what it and its checks are made of; its data version is the content of its rows. Each
materialisation also bears, of every table that it was made from, the data version and the event that it saw last. The
UI calls a table stale when one of these is another now, as long as all of them are there.
"""

from collections.abc import Mapping, Sequence

from dagster import AssetKey, DagsterInstance
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

from olvf_assets.foundation.made import text_digest


def data_version(digests: Sequence[str]) -> str:
    """Return the data version of a table, or of a part of it, from the digests of its parts' rows."""
    return text_digest(digests)[:16]


def seen_now(instance: DagsterInstance, tables: Sequence[str]) -> dict[str, str]:
    """Return the tags that say which materialisation of each table is the last one now, and of which data version."""
    records = instance.get_asset_records([AssetKey(name) for name in tables]) if tables else []
    last = {each.asset_entry.asset_key: each.asset_entry.last_materialization_record for each in records}
    tags = {}
    for key in map(AssetKey, tables):
        event = last.get(key)
        version = None if event is None else extract_data_version_from_entry(event.event_log_entry)
        tags[get_input_data_version_tag(key)] = (version or DEFAULT_DATA_VERSION).value
        tags[get_input_event_pointer_tag(key)] = NULL_EVENT_POINTER if event is None else str(event.storage_id)
    return tags


def version_tags(code: str, data: str, seen: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a materialisation.

    Args:
        code: its code version.
        data: its data version.
        seen: what `seen_now` gave before it was made.
    """
    return {CODE_VERSION_TAG: code, DATA_VERSION_TAG: data, DATA_VERSION_IS_USER_PROVIDED_TAG: "true", **seen}
