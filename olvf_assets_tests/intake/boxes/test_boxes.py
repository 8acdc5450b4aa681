from pathlib import Path

import pytest

from olvf_assets.intake.sheets.reading import SheetError
from olvf_assets_tests.intake.samples import NAMES, boxes, film, hospital


def drawn(root: Path, **files: str) -> Path:
    """Write a hospital with box files by stem and return its folder."""
    folder = hospital(root)
    (folder / "boxes").mkdir()
    for stem, text in files.items():
        (folder / "boxes" / f"{stem}.txt").write_text(text)
    return folder


def test_fractions_become_pixels_of_the_film(tmp_path: Path) -> None:
    # The film is 30 px wide and 40 px high.
    table = boxes(drawn(tmp_path, one="4 0.5 0.75 0.2 0.1\n0 0.5 0.25 0.4 0.5\n"), tmp_path).reader_boxes
    assert table.select("level", "x0_px", "y0_px", "x1_px", "y1_px").rows() == [
        ("L1", 9.0, 0.0, 21.0, 20.0), ("L5", 12.0, 28.0, 18.0, 32.0),
    ]  # fmt: skip
    assert set(table["film_id"]) == {NAMES.film(film("one").SOPInstanceUID)}


def test_a_box_that_sticks_out_by_rounding_is_cut(tmp_path: Path) -> None:
    table = boxes(drawn(tmp_path, one="0 0.5 0.5 1.01 1.0\n"), tmp_path).reader_boxes
    assert table.select("x0_px", "y0_px", "x1_px", "y1_px").row(0) == (0.0, 0.0, 30.0, 40.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5 0.5 0.5 0.1 0.1", "one.txt, line 1: class 5 is no lumbar level; allowed are 0 (L1), 1 (L2), 2 (L3)"),
        ("0.5 0.5 0.5 0.1 0.1", "one.txt, line 1: class 0.5 is no lumbar level"),
        ("\n0 0.5 0.5 0.1", "one.txt, line 2: is not five numbers"),
        ("0 0.5 nan 0.1 0.1", "one.txt, line 1: is not five numbers"),
        ("0 0.9 0.5 0.4 0.1", "one.txt, line 1: draws (21, 18) to (33, 22) px, outside its film of 30 x 40 px"),
        ("0 0.5 0.5 0.0 0.1", "one.txt, line 1: draws a box of less than one pixel"),
        ("0 0.5 0.5 0.1 0.1\n0 0.5 0.7 0.1 0.1", "one.txt, line 2: draws L1 a second time"),
    ],
)
def test_a_bad_box_is_named_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SheetError) as error:
        boxes(drawn(tmp_path, one=text), tmp_path)
    assert said in str(error.value)


def test_problems_of_several_box_files_come_together(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="boxes: 2 problems"):
        boxes(drawn(tmp_path, one="9 0.5 0.5 0.1 0.1", two="0 2 2 0.1 0.1"), tmp_path)


def test_box_files_without_a_usable_film_go_to_quarantine(tmp_path: Path) -> None:
    folder = hospital(
        tmp_path,
        {"a/one.dcm": film("one"), "b/one.dcm": film("other"), "ap.dcm": film("ap", ViewPosition="AP")},
    )
    (folder / "boxes").mkdir()
    for stem in ("one", "ap", "nobody"):
        (folder / "boxes" / f"{stem}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    found = boxes(folder, tmp_path)
    assert found.reader_boxes.height == 0
    assert found.unmatched_boxes.select("path", "reason").rows() == [
        ("boxes/ap.txt", "box_of_refused_film"),
        ("boxes/nobody.txt", "box_without_film"),
        ("boxes/one.txt", "box_of_several_films"),
    ]
    assert found.unmatched_boxes["detail"][0] == "its film was refused: not_lateral"


def test_the_class_list_beside_the_boxes_sets_the_order(tmp_path: Path) -> None:
    folder = drawn(tmp_path, classes="rib\nL5\nL4\nL3\nL2\nL1\n", one="1 0.5 0.5 0.2 0.2\n")
    assert boxes(folder, tmp_path).reader_boxes["level"].to_list() == ["L5"]
    (folder / "boxes" / "one.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(SheetError, match="class 0 is no lumbar level; allowed are 1 \\(L5\\)"):
        boxes(folder, tmp_path)


def test_a_class_list_without_every_level_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="L4, L5 must stand there once"):
        boxes(drawn(tmp_path, classes="L1\nL2\nL3\n", one="0 0.5 0.5 0.2 0.2"), tmp_path)


def test_a_hospital_without_boxes_gives_empty_tables(tmp_path: Path) -> None:
    found = boxes(hospital(tmp_path), tmp_path)
    assert (found.reader_boxes.height, found.unmatched_boxes.height) == (0, 0)


def test_bodies_that_nobody_named_are_kept_beside_the_levels_and_may_be_many(tmp_path: Path) -> None:
    folder = drawn(tmp_path, one="5 0.5 0.25 0.4 0.1\n5 0.5 0.75 0.4 0.1\n2 0.5 0.5 0.4 0.1\n")
    (folder / "boxes" / "classes.txt").write_text("L1\nL2\nL3\nL4\nL5\nunnamed\n")
    found = boxes(folder, tmp_path)
    assert found.reader_boxes.select("level", "y0_px", "y1_px").rows() == [("L3", 18.0, 22.0)]
    (row,) = found.drawn_films.rows(named=True)
    assert row["n_boxes"] == 1
    assert [(each["vertebra"], each["y0_px"]) for each in row["helper_boxes"]] == [("unnamed", 8.0), ("unnamed", 28.0)]
