from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.intake.sheets.problems import SheetError
from olvf_assets.intake.sheets.sheets import reader_labels
from olvf_assets_tests.intake.samples import NAMES, READERS, SETTINGS, hospital

WIDE = """patient_id,reader,reading,L1,L2,L3,L4,L5,pathological
A-1,1,1,old,normal,normal,normal,normal,0
A-1,2,1,old,normal,normal,normal,normal,0
A-2,1,1,old,normal,normal,normal,normal,0
A-2,2,1,old,normal,normal,normal,normal,0
"""
Labels = Callable[[dict[str, str]], pl.DataFrame]


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    """Return what reads `reader_labels` of a hospital whose reader sheets are the given files."""

    def read(files: dict[str, str]) -> pl.DataFrame:
        folder = hospital(tmp_path / str(len(list(tmp_path.iterdir()))))
        (folder / "readers.csv").unlink()
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        return reader_labels(folder, NAMES, SETTINGS)

    return read


def test_a_wide_sheet_gives_the_table_of_the_long_one(labels: Labels) -> None:
    assert labels({"readers.csv": WIDE}).equals(labels({"readers.csv": READERS}))


def test_readers_may_hand_in_a_file_each(labels: Labels) -> None:
    long = labels({"readers.csv": READERS})
    header, *rows = WIDE.splitlines()
    files = {
        f"readers_{reader}.csv": "\n".join(
            line.replace(f",{reader},1,", ",").replace(",reader,reading,", ",")
            for line in [header, *(row for row in rows if f",{reader},1," in row)]
        )
        for reader in "12"
    }
    assert "reader" not in files["readers_1.csv"]
    assert labels(files).equals(long)


def test_a_second_reading_and_the_consensus_may_have_files_of_their_own(labels: Labels) -> None:
    again = "patient_id;L1;L2;L3;L4;L5\nA-1;fresh;normal;normal;normal;normal\n"
    agreed = "患者ID,第1腰椎,L2,L3,L4,L5,病的骨折\nA-2,新鮮,,,,,第1腰椎\n"
    table = labels(
        {
            "readers.csv": READERS.replace("A-2,L1,1,1,old", "A-2,L1,1,1,fresh"),
            "readers_2_reading_2.csv": again,
            "Readers_Consensus.CSV": agreed,
        }
    )
    second = table.filter(reading=2)
    assert second["label"].to_list() == ["fresh", *["normal"] * 4]
    assert second["reader"].unique().to_list() == ["2"]
    consensus = table.filter(reader="consensus")
    assert consensus.select("level", "reading", "label", "pathological").rows() == [("L1", 1, "fresh", True)]


def test_without_a_reading_or_pathological_column_it_is_a_first_reading_and_nothing_said(labels: Labels) -> None:
    rows = [line.split(",") for line in READERS.splitlines()]
    short = "\n".join(",".join([*row[:3], row[4]]) for row in rows)
    assert short.startswith("patient_id,level,reader,label\n")
    table = labels({"readers.csv": short})
    assert table["pathological"].null_count() == table.height
    assert table.drop("pathological").equals(labels({"readers.csv": READERS}).drop("pathological"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("A-1,1,1,old,normal", "A-1,1,1,old,nromal", "row 2, column L2: 'nromal' is not allowed; write one of normal"),
        ("A-1,2,1", "A-1,1,1", "L1, reader 1, reading 1 stands in row 2 already; keep one of them"),
        (",0\n", ",L7\n", "row 2, column pathological: 'L7' is no list of levels such as L1 L3"),
        ("old,normal,normal,normal,normal,0", "old,normal,,normal,normal,L3", "'L3' is pathological but was not read"),
        ("L4,L5", "L4,", "row 1: column L5 is missing (found: patient_id, reader, reading, L1, L2, L3, L4"),
        ("reader,", "arzt,", "row 1: column reader is missing"),
        ("L2,", "Ｌ１,", "row 1: column L1 stands there twice, maybe under two headings"),
    ],
)
def test_a_bad_cell_of_a_wide_sheet_is_named_by_row_and_level(labels: Labels, old: str, new: str, said: str) -> None:
    with pytest.raises(SheetError) as error:
        labels({"readers.csv": WIDE.replace(old, new, 1)})
    assert said in str(error.value)


def test_problems_of_several_files_come_together_each_with_its_file(labels: Labels) -> None:
    with pytest.raises(SheetError) as error:
        labels({"readers_1.csv": WIDE, "readers_2.csv": WIDE})
    message = str(error.value)
    assert "institution_1: readers_1.csv, readers_2.csv: 4 problems; nothing of" in message
    assert "readers_1.csv, row 3, column reader: '2' is not what the file's name says (1)" in message
    assert "readers_2.csv, row 4, column reader: '1' is not what the file's name says (2)" in message


def test_a_second_reading_without_a_first_is_refused(tmp_path: Path) -> None:
    folder = hospital(tmp_path, readers=READERS.replace(",1,1,", ",1,2,"))
    with pytest.raises(SheetError, match="reader 1 has a second reading and no first"):
        reader_labels(folder, NAMES, SETTINGS)


def test_what_a_reader_did_not_say_of_tumour_is_null(tmp_path: Path) -> None:
    folder = hospital(tmp_path, readers=READERS.replace(",0\n", ",\n"))
    assert reader_labels(folder, NAMES, SETTINGS)["pathological"].null_count() == 20
