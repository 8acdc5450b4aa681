"""What the report says of hospitals and patients without labels."""

import polars as pl

from olvf_assets.reporting.page import page_text
from olvf_assets.reporting.pictures import tables_read
from olvf_assets.reporting.printing import metrics_text
from olvf_assets.reporting.stard import flow_boxes
from olvf_assets.reporting.unlabelled import why_no_accuracy
from olvf_assets_tests.reporting.made_up import flow_rows, made_up_tables

RULE = "exclusion_no_label"


def unread(institution: str, patients: int) -> pl.DataFrame:
    """Return the rows of `participant_flow` of patients with two films each whom nobody read."""
    rows = [
        (institution, unit, "excluded", "no_label", RULE, n, 0, 0, 0)
        for unit, n in (("patient", patients), ("film", 2 * patients), ("vertebra", 10 * patients))
    ]
    return pl.DataFrame(rows, schema=flow_rows().schema, orient="row")


ALONE = pl.concat([flow_rows(), unread("institution_3", 12)])
WHOLLY = (
    "Institution 3: there is no accuracy, since no reader's labels were handed over for any of its 12 patients with "
    "films; they are scored (see worklist and patient_predictions) and get figures once a sheet readers comes."
)


def test_a_hospital_without_labels_gets_one_sentence_and_one_with_some_another() -> None:
    assert why_no_accuracy(flow_rows()) == []
    assert why_no_accuracy(ALONE) == [WHOLLY]
    (some,) = why_no_accuracy(pl.concat([flow_rows(), unread("institution_2", 3)]))
    assert some == "Institution 2: 3 of 43 patients have no reader's labels; they are scored and count in no figure."
    assert why_no_accuracy(flow_rows().clear()) == []


def test_page_and_terminal_say_it() -> None:
    tables = made_up_tables() | {"participant_flow": ALONE}
    html = page_text([], "ci", set(), **{name: tables[name] for name in tables_read(page_text)})
    assert WHOLLY.replace("'", "&#39;") in html
    text = metrics_text(tables["test_metrics"], tables["external_metrics"], ALONE)
    assert text.splitlines()[-1] == WHOLLY
    nothing = metrics_text(tables["test_metrics"].clear(), tables["external_metrics"].clear(), ALONE)
    assert nothing.splitlines() == ["No metrics yet: no institution has scored crops with a label.", WHOLLY]


def test_the_diagram_of_participants_shows_them_as_a_step_of_their_own() -> None:
    boxes = flow_boxes(pl.concat([flow_rows(), unread("institution_1", 7)]).filter(institution="institution_1"))
    lines = [box.lines for box in boxes]
    assert lines[:3] == [
        ("Patients enrolled", "n = 117"),
        ("With a reference standard", "n = 110"),
        ("With a fracture by the reference standard", "n = 92  (61 fresh, 31 old)"),
    ]
    assert boxes[1].left_out == (
        "No label: no reader's labels were handed over (n = 7)",
        "films are scored, no accuracy",
    )
    films = next(box for box in boxes if box.stage == "Films")
    assert films.lines[1] == "n = 150  of 195 handed over"
    assert "without a label, scored only (14)" in films.left_out
    assert films.left_out[0] == "Films not used (n = 45)"
    whole = flow_boxes(ALONE.filter(institution="institution_3"))
    assert whole[1].lines == ("With a reference standard", "n = 0")
