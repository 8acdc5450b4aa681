"""Whether tumour broke a vertebra, where readers or the consensus sheet do not say."""

import polars as pl
import pytest

from olvf_assets.intake.tables import READER_LABELS
from olvf_assets.storage.sql import SQL_FOLDER, run_query


def answers(model: str, said: dict[str, bool | None]) -> pl.DataFrame:
    """Return an SQL model's rows of L1 when each reader said this of tumour."""
    subject = {"institution": "a", "patient_id": "P1"}
    rows = [subject | {"level": "L1", "reader": reader, "reading": 1, "label": "fresh", "pathological": each}
            for reader, each in said.items()]  # fmt: skip
    patients = pl.DataFrame([subject | {"has_reading": True}])
    tables = {"patients": patients, "reader_labels": pl.DataFrame(rows, READER_LABELS)}
    (path,) = SQL_FOLDER.rglob(f"{model}.sql")
    return run_query(path.read_text(), tables).filter(level="L1")


@pytest.mark.parametrize(
    ("one", "two", "consensus", "expected", "asked"),
    [
        (True, True, None, True, False),  # a consensus sheet without the column overrules nobody
        (True, True, False, True, False),
        (True, None, None, True, True),
        (None, True, False, False, True),
        (True, False, True, True, True),
        (False, None, None, False, False),
        (None, None, None, False, False),
        (None, None, True, True, False),
    ],
)
def test_what_both_readers_say_stands(
    one: bool | None, two: bool | None, consensus: bool | None, expected: bool, asked: bool
) -> None:
    said = {"1": one, "2": two, "consensus": consensus}
    assert answers("consensus_labels", said)["pathological"].to_list() == [expected]
    queue = answers("consensus_queue", said).filter(question="pathological")
    assert queue.height == int(asked)
