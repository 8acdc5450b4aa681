from pathlib import Path

import polars as pl

from olvf_assets.attention.assets import _by_protocol
from olvf_assets.orchestration.graph import all_tables
from olvf_assets.reporting.attention_pictures import attention, attention_films, attention_trust
from olvf_assets.reporting.redrawing import pictures_of
from olvf_assets_tests.reporting.made_up import run_in


def test_protocols_are_analysed_apart() -> None:
    checkpoints = [pl.DataFrame({"protocol": ["patient", "thesis"], "fold": [fold, fold]}) for fold in (1, 2)]
    test = pl.DataFrame({"protocol": ["thesis", "patient", "patient"], "sample_id": ["a", "b", "c"]})
    training = pl.DataFrame({"protocol": ["thesis", "patient"], "sample_id": ["d", "e"]})
    patient, thesis = _by_protocol(checkpoints, test, training)
    assert [each["protocol"].unique().to_list() for each in patient] == [["patient"]] * 3
    assert [each["protocol"].unique().to_list() for each in thesis] == [["thesis"]] * 3
    assert [len(each) for each in patient] == [2, 2, 1]
    assert patient[0]["fold"].to_list() == [1, 2]


def test_a_study_without_a_test_set_has_no_pictures_of_attention_and_no_error(tmp_path: Path) -> None:
    names = {"vertebra_crops", "films"}
    empty = {
        each.name: each.schema.to_frame()
        for each in all_tables()
        if each.schema is not None and (each.name in names or each.room == "attention")
    }
    assert pictures_of([attention, attention_films, attention_trust], empty, run_in(tmp_path), tmp_path) == []
