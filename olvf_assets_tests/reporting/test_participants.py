"""The participants' part of the report: STARD diagram and baseline table."""

from xml.etree import ElementTree

import pytest

from olvf_assets.reporting.baseline import baseline_tables
from olvf_assets.reporting.page import page_text
from olvf_assets.reporting.pictures import tables_read
from olvf_assets.reporting.redrawing import pictures_of
from olvf_assets.reporting.stard import flow_boxes, stard_flow
from olvf_assets_tests.reporting.made_up import baseline_rows, flow_rows, made_up_tables, run_in

FLOW = flow_rows().filter(institution="institution_1")


def test_the_boxes_hold_the_sums_of_the_flow() -> None:
    boxes = flow_boxes(FLOW)
    assert [box.lines for box in boxes] == [
        ("Patients enrolled", "n = 110"),
        ("With a fracture by the reference standard", "n = 92  (61 fresh, 31 old)"),
        ("Patients included", "n = 88  (58 fresh, 30 old)"),
        ("Lateral films of included patients", "n = 150  of 181 handed over"),
        ("Vertebra images, five a film", "n = 750"),
        ("Vertebra images used (index test)", "n = 700"),
        ("Class by the reference standard", "normal 480   old 120   fresh 100"),
    ]
    assert [box.left_out for box in boxes] == [
        (),
        ("L1 to L5 all normal (n = 18)",),
        ("Exclusion reason 1 (n = 4)", "3 fresh, 1 old", "severe crush (4)"),
        ("Films not used (n = 31)", "of excluded patients (22)", "in quarantine: not lateral (9)"),
        (),
        ("Exclusion reason 2, and not detected (n = 50)", "poor image quality (30)", "not detected (20)"),
        (),
    ]


def test_nothing_left_out_draws_no_side_box() -> None:
    used = flow_rows().filter(institution="institution_2", state="used")
    assert all(box.left_out == () for box in flow_boxes(used))


def test_the_svg_holds_every_line_as_text_and_never_changes(tmp_path) -> None:
    for folder in (tmp_path / "first", tmp_path / "again"):
        pictures_of([stard_flow], {"participant_flow": flow_rows()}, run_in(folder), folder)
    vector = tmp_path / "first" / "stard_flow_institution_1.svg"
    assert vector.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    texts = {each.text for each in ElementTree.parse(vector).iter("{http://www.w3.org/2000/svg}text")}
    wanted = {line for box in flow_boxes(FLOW) for line in (*box.lines, *box.left_out)}
    assert wanted <= texts
    assert (tmp_path / "again" / vector.name).read_bytes() == vector.read_bytes()


@pytest.mark.parametrize("name", ["1", "2"])
def test_the_boxes_never_overlap(name: str) -> None:
    from olvf_assets.reporting import stard

    boxes = flow_boxes(flow_rows().filter(institution=f"institution_{name}"))
    places, height = stard._places(boxes)
    edges = [edge for place in places for edge in (place.top, place.bottom)]
    assert edges == sorted(edges)
    assert edges[-1] < height
    for box, place in zip(boxes, places, strict=True):
        assert not box.left_out or place.side_top + stard._height(box.left_out) < place.top


def test_the_baseline_table_is_written_as_papers_write_it() -> None:
    rows = baseline_tables(baseline_rows())["institution_1"]
    lines = [(row.name, row.cells, row.p) for row in rows]
    assert lines == [
        ("Patients", ("58", "30", "88"), ""),
        ("Sex", ("", "", ""), ""),
        ("female", ("40 of 58 (69.0 %)", "19 of 30 (63.3 %)", "59 of 88 (67.0 %)"), ""),
        ("male", ("18 of 58 (31.0 %)", "11 of 30 (36.7 %)", "29 of 88 (33.0 %)"), ""),
        ("Age, years, mean ± SD", ("78.5 ± 11.4", "77.1 ± 11.4", "78.0 ± 11.4"), "0.184 (Welch's t)"),
        ("Film within 14 days of onset", ("41 of 58 (70.7 %)", "–", "41 of 58 (70.7 %)"), ""),
    ]


def test_the_page_shows_the_baseline_table_among_the_participants() -> None:
    tables = made_up_tables()
    html = page_text([], "ci", {"institution_1"}, **{name: tables[name] for name in tables_read(page_text)})
    assert "Baseline characteristics" in html
    assert "40 of 58 (69.0 %)" in html
    assert "78.5 ± 11.4" in html
