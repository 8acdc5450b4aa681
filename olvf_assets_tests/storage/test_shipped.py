"""Weights that ship and the record beside them."""

import json
from pathlib import Path

import pytest

from olvf_assets.storage.shipped import ShippedWeightsError, shipped_record, weights_file, write_record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weights_file("view", tmp_path).write_bytes(b"weights")
    write_record("view", {"seed": 3, "temperature": 1.5}, tmp_path)
    return tmp_path


def test_a_record_names_file_command_and_what_its_maker_adds(folder: Path) -> None:
    assert shipped_record("view", folder) == {
        "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
        "command": "python -m olvf_assets.commands.make_weights view",
        "seed": 3,
        "temperature": 1.5,
    }


@pytest.mark.parametrize("fault", ["other weights", "no weights", "no record", "torn record", "record of nothing"])
def test_weights_that_are_not_those_of_their_record_are_refused_with_the_way_out(folder: Path, fault: str) -> None:
    weights, record = weights_file("view", folder), folder / "view.json"
    if fault == "other weights":
        weights.write_bytes(b"weights of another version")
    elif fault == "no weights":
        weights.unlink()
    elif fault == "no record":
        record.unlink()
    elif fault == "torn record":
        record.write_text(record.read_text()[:40])
    else:
        record.write_text(json.dumps({"seed": 3}))
    with pytest.raises(ShippedWeightsError, match=r"view\..*python -m olvf_assets\.commands\.make_weights view"):
        shipped_record("view", folder)
