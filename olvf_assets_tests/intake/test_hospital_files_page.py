"""The examples of docs/hospital_files.md, handed in as they stand there."""

import re
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.intake.boxes.formats import READERS
from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.landing.landing import is_sheet
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheets import sheets
from olvf_assets.intake.sheets import words as sheet_words
from olvf_assets_tests.intake.samples import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "hospital_files.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```\w+ (\S+)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the landing folder of the page."""
    for path, text in EXAMPLES.items():
        file = tmp_path / "my_hospital" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path / "my_hospital"


def test_the_sheets_of_the_page_are_understood(folder: Path) -> None:
    assert read_institution(folder).role == "external"
    assert sheets.subjects(folder, NAMES, IntakeSettings())["onset_to_film_days"].drop_nulls().to_list() == [3]
    assert sheets.film_conditions(folder, NAMES, IntakeSettings())["height_ratio"].to_list() == [0.55]


def test_the_long_and_the_wide_example_say_the_same(folder: Path) -> None:
    long = sheets.reader_labels(folder, NAMES, IntakeSettings())
    (folder / "readers_wide.csv").rename(folder / "readers.csv")
    assert sheets.reader_labels(folder, NAMES, IntakeSettings()).equals(long)
    assert long.group_by("label").len().sort("label").rows() == [("fresh", 2), ("normal", 2), ("old", 3)]


def test_the_three_boxes_of_l1_are_the_same_box_in_three_formats(folder: Path) -> None:
    found = []
    for path in EXAMPLES:
        if is_sheet(path) and path.startswith("boxes/"):
            _, read = READERS[Path(path).suffix]
            (picture,) = read((folder / path).read_bytes(), None)
            width, height = picture.size_px or (1, 1)
            x0, y0, x1, y1 = picture.boxes[0].corners
            found.append((picture.boxes[0].level, x0 / width, y0 / height, x1 / width, y1 / height))
    assert len(found) == 3
    for level, *corners in found:
        assert level == "L1"
        assert corners == pytest.approx([0.3, 0.15, 0.7, 0.35], abs=0.001)


def test_the_page_lists_every_word_that_is_understood() -> None:
    rows = {
        row[0].strip(" `"): row for row in (line.strip("|").split("|") for line in PAGE.splitlines()) if len(row) == 3
    }
    for column, synonyms in sheet_words.HEADINGS.items():
        if column not in sheet_words.LEVEL_WORDS:
            assert [each.strip() for each in rows[column][1].split(",")] == list(synonyms)
    for column in set(sheet_words.WORDS) - {"level", "reader", "vertebra"}:
        for word, synonyms in sheet_words.WORDS[column].items():
            assert f"`{word}`: {', '.join(synonyms)}" in rows[column][2]
    for name in ("T1", "T12", "S1"):
        assert f"`{name}`: {', '.join(sheet_words.OTHER_WORDS[name])}" in PAGE
    assert pl.Series(sheet_words.UNKNOWN_DAY).is_in(["不明", "unknown"]).all()
