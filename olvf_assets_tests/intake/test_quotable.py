"""Cells are repeated in messages only as far as they name nobody."""

import pytest

from olvf_assets.intake.sheets.problems import quotable


@pytest.mark.parametrize(
    "cell",
    ["frehs", "nromal", "older", "D", "x", "L6", "T12", "S1", "3", "0.7", "急性期", "poor positionning"],
)
def test_slips_of_the_pen_are_repeated(cell: str) -> None:
    assert quotable(cell) == cell


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("YAMADA HANAKO", "****** ******"),
        ("Y A M A D A", "* * * * * *"),
        ("山田花子", "****"),
        ("山田 花", "** *"),
        ("03/04/41", "##/##/##"),
        ("0004711", "#######"),
        ("47 11", "## ##"),
        ("４７１１", "####"),
        ("A4711", "*****"),
        ("zq00001x", "********"),
        ("Suzuki, fresh", "******, fresh"),
        ("taro@clinic.example", "****@******.*******"),
    ],
)
def test_names_ids_and_dates_are_not(cell: str, shown: str) -> None:
    assert quotable(cell) == shown
