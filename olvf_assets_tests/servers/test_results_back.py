"""dicom3tools and DCMTK beside the objects that go back to an image store."""

import subprocess
from pathlib import Path

import pytest

from olvf_assets_tests.reporting.results_back.answered import LEVELS, Answered


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    made = Answered(tmp_path_factory.mktemp("answered"))
    made.write()
    made.predict("L1", p_normal=0.4, p_old=0.5)
    assert dict(made.write().counts) == {"superseding": 1, "as before": 2}
    return made


def said(*command: str | Path) -> list[str]:
    done = subprocess.run(list(map(str, command)), capture_output=True, check=True)
    return [line.decode(errors="replace") for line in (done.stdout + done.stderr).splitlines()]


@pytest.mark.parametrize(("name", "kind"), [("one", "sr"), ("one", "sc"), ("two", "sr"), ("three", "sr")])
def test_dciodvfy_finds_no_error(answered: Answered, name: str, kind: str) -> None:
    lines = said("dciodvfy", answered.file(name, kind))
    assert {"sr": "ComprehensiveSR", "sc": "SCImage"}[kind] in lines
    assert [line for line in lines if line.startswith("Error")] == []
    others = [line for line in lines if line.startswith("Warning") and "<99OLVF>" not in line]
    assert [line for line in others if "<Laterality>" not in line] == []


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_dsrdump_reads_the_report(answered: Answered, name: str) -> None:
    lines = said("dsrdump", "--print-long-values", "--print-all-codes", answered.file(name, "sr"))
    text = "\n".join(lines)
    assert ("L1 vertebra" in text, text.count("POLYLINE")) == (name == "one", 1 + (len(LEVELS) if name == "one" else 0))
    assert "RESEARCH USE ONLY" in text


def test_dcmdump_finds_the_superseded_report(answered: Answered) -> None:
    lines = said("dcmdump", "--search", "PredecessorDocumentsSequence", answered.file("one", "sr"))
    assert any("PredecessorDocumentsSequence" in line for line in lines)
    assert not any(
        "PredecessorDocumentsSequence" in line
        for line in said("dcmdump", "--search", "PredecessorDocumentsSequence", answered.file("two", "sr"))
    )
