"""A cohort of six patients and a few bad files, whose every number is known."""

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from olvf_assets.detection.tables import DETECTOR_ANSWERS, DRAFT_CORRECTIONS
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.tables import (
    DICOM_HEADERS,
    FILM_CONDITIONS,
    FILM_PIXELS,
    INSTITUTIONS,
    LANDING_MANIFEST,
    READER_LABELS,
    SUBJECTS,
    UNMATCHED_BOXES,
)
from olvf_assets.orchestration.sql_models import load_models, load_tests

HOSPITAL = "institution_1"
MODELS = {model.name: model for model in load_models() if model.room in ("intake", "cohort")}
TESTS = {test.name: test for test in load_tests()}
AFTER_CROPS = ["participant_states", "participant_flow"]
COHORT_MODELS = [name for name in MODELS if name not in AFTER_CROPS]

# patient -> labels of L1..L5 as "reader 1, reader 2, consensus": n normal, o old, f fresh; "p" marks pathological
PATIENTS = {
    "P_normal": "nn nn nn nn nn",  # excluded: nothing fractured
    "P_fresh": "ff nn on_f nn nn",  # stays; L3 by consensus
    "P_crushed": "oo nn nn nn nn",  # excluded: severe crush
    "P_tumour": "ffp nn nn nn nn",  # excluded: pathological only
    "P_both": "ffp oo nn fo nn",  # stays; L1 pathological, L4 without consensus
    "P_no_film": "oo nn nn nn nn",  # excluded: its film is AP
}
WORDS = {"n": "normal", "o": "old", "f": "fresh"}
FILMS = {
    "F_normal": ("P_normal", "neutral"),
    "F_fresh": ("P_fresh", "neutral"),
    "F_fresh_flexed": ("P_fresh", "flexion"),
    "F_crushed": ("P_crushed", "neutral"),
    "F_tumour": ("P_tumour", "neutral"),
    "F_both": ("P_both", "neutral"),
}


def reader_labels() -> pl.DataFrame:
    rows = []
    for patient, codes in PATIENTS.items():
        for level, code in zip(LEVELS, codes.split(), strict=True):
            pathological = code.endswith("p")
            said, _, consensus = code.removesuffix("p").partition("_")
            for reader, letter in [("1", said[0]), ("2", said[1]), *([("consensus", consensus)] if consensus else [])]:
                rows.append((HOSPITAL, patient, level, reader, 1, WORDS[letter], pathological))
    # A second reading never decides: here reader 1 calls everything of P_normal fresh a month later.
    rows += [(HOSPITAL, "P_normal", level, "1", 2, "fresh", False) for level in LEVELS]
    return pl.DataFrame(rows, schema=READER_LABELS, orient="row")


def frames() -> dict[str, pl.DataFrame]:
    """Return every table that the models of the room read and do not make."""
    headers = [
        {
            "path": f"films/{film}.dcm",
            "film_id": film,
            "patient_id": patient,
            "view": view,
            "rows": 2032,
            "columns": 1693,
        }
        for film, (patient, view) in FILMS.items()
    ]
    headers += [
        {"path": "films/ap.dcm", "film_id": "F_ap", "patient_id": "P_no_film", "refusal": "not_lateral"},
        {"path": "films/notes.dcm", "refusal": "not_dicom"},
        {"path": "films/corrupt.dcm", "film_id": "F_corrupt", "patient_id": "P_fresh", "view": "extension"},
    ]
    pixels: list[dict[str, object]] = [
        {"path": f"films/{film}.dcm", "film_id": film, "image_path": f"images/{film}.png", "pixel_sha256": film}
        for film in FILMS
    ]
    pixels.append({"path": "films/corrupt.dcm", "film_id": "F_corrupt", "refusal": "corrupt_pixels"})
    for row in (*headers, *pixels):
        row["institution"] = HOSPITAL
        row["refusal_detail"] = "why" if "refusal" in row else None
    conditions = [
        (HOSPITAL, "P_crushed", "L1", None, "fracture", "severe_crush", 0.55, True),
        (HOSPITAL, "P_fresh", "L5", None, "crop", "poor_positioning", None, None),
        (HOSPITAL, "P_fresh", "L4", "flexion", "crop", "foreign_substance", None, None),
    ]
    subjects = [(HOSPITAL, patient, "F", 80, date(2019, 4, 3), 3, 4) for patient in PATIENTS]
    unmatched = [(HOSPITAL, "boxes/nobody.txt", "0" * 64, "box_without_film", "no film has this file name")]
    listed = [
        *(manifest_row(str(row["path"])) for row in headers),
        manifest_row("boxes/nobody.txt", kind="boxes"),
        manifest_row("boxes/one.txt", kind="boxes"),
        manifest_row("subjects.csv", kind="sheet"),
        manifest_row("films/.hidden", state="ignored", reason="hidden"),
        manifest_row("films/all.zip", state="archive"),
    ]
    return {
        "landing_manifest": pl.DataFrame(listed, schema=LANDING_MANIFEST),
        "institutions": pl.DataFrame([(HOSPITAL, "One", "development")], schema=INSTITUTIONS, orient="row"),
        "subjects": pl.DataFrame(subjects, schema=SUBJECTS, orient="row"),
        "dicom_headers": pl.DataFrame([complete(row, DICOM_HEADERS) for row in headers], schema=DICOM_HEADERS),
        "film_pixels": pl.DataFrame([complete(row, FILM_PIXELS) for row in pixels], schema=FILM_PIXELS),
        "unmatched_boxes": pl.DataFrame(unmatched, schema=UNMATCHED_BOXES, orient="row"),
        "reader_labels": reader_labels(),
        "film_conditions": pl.DataFrame(conditions, schema=FILM_CONDITIONS, orient="row"),
        "draft_corrections": drafts(),
        "detector_answers": pl.DataFrame(
            [
                complete(
                    {"institution": HOSPITAL, "film_id": "F_fresh", "source": "drawn", "detector_sha256": "newer"},
                    DETECTOR_ANSWERS,
                )
            ],
            schema=DETECTOR_ANSWERS,
        ),
    }


def drafts() -> pl.DataFrame:
    """Return three drafts: one of five boxes that came back with corrections, an empty one untouched, one not back."""
    corrected = {
        "film_id": "F_fresh", "state": "resolved", "returned": True, "unchanged": False, "n_drafted": 5, "n_drawn": 5,
        "n_unchanged": 2, "n_moved": 1, "n_renamed": 1, "n_added": 1, "n_removed": 1, "mean_iou": 0.9,
    }  # fmt: skip
    counts = dict.fromkeys(("n_drafted", "n_drawn", "n_unchanged", "n_moved", "n_renamed", "n_added", "n_removed"), 0)
    untouched = {"film_id": "F_both", "state": "nothing_found", "returned": True, "unchanged": True, **counts}
    waiting = {"film_id": "F_normal", "state": "resolved", "returned": False, "n_drafted": 4}
    own = {"institution": HOSPITAL, "detector_sha256": "older"}
    rows = [complete(own | row, DRAFT_CORRECTIONS) for row in (corrected, untouched, waiting)]
    return pl.DataFrame(rows, schema=DRAFT_CORRECTIONS)


def manifest_row(path: str, kind: str = "candidate", state: str = "arrived", **more: str) -> dict[str, object]:
    return complete({"institution": HOSPITAL, "path": path, "kind": kind, "state": state, **more}, LANDING_MANIFEST)


def complete(row: dict[str, object], schema: pl.Schema) -> dict[str, object]:
    return {name: row.get(name) for name in schema}


def with_models(tables: dict[str, pl.DataFrame], names: list[str]) -> dict[str, pl.DataFrame]:
    """Return the tables and the models of these names, each made after what it reads."""
    made = dict(tables)

    def make(name: str) -> None:
        if name in made:
            return
        for upstream in MODELS[name].reads:
            make(upstream)
        made[name] = MODELS[name].make(None, **{each: made[each] for each in MODELS[name].reads})

    for name in names:
        make(name)
    return made


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    made = with_models(frames(), COHORT_MODELS)
    # The detector finds all but L1 of the flexed film.
    crops = made["cohort_vertebrae"].with_columns(
        protocol=pl.lit("patient"), crop_id=pl.format("{}-{}", "film_id", "level")
    )
    made["vertebra_crops"] = crops.filter(pl.col("crop_id") != "F_fresh_flexed-L1")
    made["detected_films"] = resolved(made["films"])
    return with_models(made, AFTER_CROPS)


def resolved(films: pl.DataFrame, *ambiguous: str) -> pl.DataFrame:
    """Return `detected_films`: all resolved but the named ones."""
    state = pl.when(pl.col("film_id").is_in(ambiguous)).then(pl.lit("ambiguous")).otherwise(pl.lit("resolved"))
    return films.select("institution", "film_id", protocol=pl.lit("patient"), state=state)


def broken(name: str, tables: dict[str, pl.DataFrame]) -> int:
    test = TESTS[name]
    return test.find(None, **{each: tables[each] for each in test.reads}).height


def test_films_are_the_accepted_and_decoded_ones(tables: dict[str, pl.DataFrame]) -> None:
    assert tables["films"]["film_id"].to_list() == sorted(FILMS)
    row = tables["films"].row(0, named=True)
    assert (row["width_px"], row["height_px"], row["image_path"]) == (1693, 2032, "images/F_both.png")


def test_quarantine_names_every_refused_file_once(tables: dict[str, pl.DataFrame]) -> None:
    assert tables["quarantine"].select("path", "reason", "found_in").rows() == [
        ("boxes/nobody.txt", "box_without_film", "boxes"),
        ("films/ap.dcm", "not_lateral", "header"),
        ("films/corrupt.dcm", "corrupt_pixels", "pixels"),
        ("films/notes.dcm", "not_dicom", "header"),
    ]


def test_the_reference_standard_is_agreement_else_consensus_else_nothing(tables: dict[str, pl.DataFrame]) -> None:
    labels = tables["consensus_labels"]
    assert labels.height == 30
    rows = {(row["patient_id"], row["level"]): row for row in labels.iter_rows(named=True)}
    by_consensus, undecided = rows[("P_fresh", "L3")], rows[("P_both", "L4")]
    assert (by_consensus["label"], by_consensus["consensus_needed"]) == ("fresh", True)
    assert (by_consensus["reader_1"], by_consensus["reader_2"]) == ("old", "normal")
    assert (undecided["label"], undecided["consensus_needed"]) == (None, True)
    assert rows[("P_normal", "L1")]["label"] == "normal"
    assert labels.filter("pathological").select("patient_id", "level").rows() == [("P_both", "L1"), ("P_tumour", "L1")]


def test_every_rule_excludes_exactly_whom_it_should(tables: dict[str, pl.DataFrame]) -> None:
    exclusions = tables["exclusions"]
    patients = exclusions.filter(unit="patient").select("patient_id", "reason", "rule").rows()
    assert patients == [
        ("P_crushed", "severe_crush", "exclusion_severe_crush"),
        ("P_no_film", "no_usable_film", "exclusion_no_film"),
        ("P_normal", "all_normal", "exclusion_all_normal"),
        ("P_tumour", "pathological_fracture_only", "exclusion_pathological_only"),
    ]
    vertebrae = exclusions.filter(unit="vertebra").select("film_id", "level", "reason").rows()
    assert sorted(vertebrae) == [
        ("F_both", "L1", "pathological_fracture"),
        ("F_both", "L4", "consensus_missing"),
        ("F_fresh", "L5", "poor_positioning"),
        ("F_fresh_flexed", "L4", "foreign_substance"),
        ("F_fresh_flexed", "L5", "poor_positioning"),
        ("F_tumour", "L1", "pathological_fracture"),
    ]
    crushed = exclusions.filter(patient_id="P_crushed")["evidence"].item()
    assert crushed == "L1 at 0.55 of its height"


def test_the_cohort_is_what_no_rule_excludes(tables: dict[str, pl.DataFrame]) -> None:
    cohort = tables["cohort_vertebrae"]
    assert cohort.select(pl.format("{} {} {}", "film_id", "level", "label")).to_series().to_list() == [
        "F_both L2 old",
        "F_both L3 normal",
        "F_both L5 normal",
        "F_fresh L1 fresh",
        "F_fresh L2 normal",
        "F_fresh L3 fresh",
        "F_fresh L4 normal",
        "F_fresh_flexed L1 fresh",
        "F_fresh_flexed L2 normal",
        "F_fresh_flexed L3 fresh",
    ]
    assert set(cohort["role"]) == {"development"}


def test_the_participant_flow_counts_everything_once(tables: dict[str, pl.DataFrame]) -> None:
    flow = {row[:3]: row[3] for row in tables["participant_flow"].select("unit", "state", "reason", "n").iter_rows()}
    assert flow == {
        ("patient", "used", None): 2,
        ("patient", "excluded", "all_normal"): 1,
        ("patient", "excluded", "severe_crush"): 1,
        ("patient", "excluded", "pathological_fracture_only"): 1,
        ("patient", "excluded", "no_usable_film"): 1,
        ("film", "used", None): 3,
        ("film", "excluded", "all_normal"): 1,
        ("film", "excluded", "severe_crush"): 1,
        ("film", "excluded", "pathological_fracture_only"): 1,
        ("film", "quarantined", "not_lateral"): 1,
        ("film", "quarantined", "not_dicom"): 1,
        ("film", "quarantined", "corrupt_pixels"): 1,
        ("vertebra", "used", None): 9,
        ("vertebra", "excluded", "not_detected"): 1,
        ("vertebra", "excluded", "all_normal"): 5,
        ("vertebra", "excluded", "severe_crush"): 5,
        ("vertebra", "excluded", "pathological_fracture_only"): 5,
        ("vertebra", "excluded", "pathological_fracture"): 1,
        ("vertebra", "excluded", "consensus_missing"): 1,
        ("vertebra", "excluded", "poor_positioning"): 2,
        ("vertebra", "excluded", "foreign_substance"): 1,
    }


def test_the_flow_counts_classes_of_vertebrae_and_groups_of_patients(tables: dict[str, pl.DataFrame]) -> None:
    flow = tables["participant_flow"]
    counts = ["n", "n_normal", "n_old", "n_fresh"]
    used = flow.filter(state="used").select("unit", *counts).rows()
    assert used == [("film", 3, 0, 1, 2), ("patient", 2, 0, 1, 1), ("vertebra", 9, 5, 1, 3)]
    undecided = flow.filter(reason="consensus_missing").select("rule", *counts).rows()
    assert undecided == [("exclusion_consensus_missing", 1, 0, 0, 0)]


def test_the_same_reason_of_a_patient_and_of_a_crop_is_counted_apart() -> None:
    made = frames()
    poor = pl.DataFrame(
        [(HOSPITAL, "P_both", "L2", None, "fracture", "poor_positioning", None, None)],
        schema=FILM_CONDITIONS,
        orient="row",
    )
    made["film_conditions"] = pl.concat([made["film_conditions"], poor])
    made = with_models(made, ["cohort_vertebrae"])
    made["vertebra_crops"] = made["cohort_vertebrae"].with_columns(
        protocol=pl.lit("patient"), crop_id=pl.format("{}-{}", "film_id", "level")
    )
    made["detected_films"] = resolved(made["films"])
    flow = with_models(made, AFTER_CROPS)["participant_flow"].filter(unit="vertebra", reason="poor_positioning")
    assert dict(flow.select("rule", "n").iter_rows()) == {
        "exclusion_fracture_condition": 5,
        "exclusion_crop_condition": 2,
    }


def crushed_by(condition: str, ratio: float | None, scope: str = "fracture") -> list[tuple[str, str, str | None]]:
    row = (HOSPITAL, "P_fresh", "L1", None, scope, condition, ratio, None if ratio is None else ratio < 0.6)
    made = frames() | {"film_conditions": pl.DataFrame([row], schema=FILM_CONDITIONS, orient="row")}
    found = with_models(made, ["exclusions"])["exclusions"].filter(pl.col("rule") == "exclusion_severe_crush")
    return found.select("reason", "evidence", "reader").rows()


def test_severe_crush_is_computed_from_the_height_ratio_and_else_taken_from_the_sheet() -> None:
    assert crushed_by("severe_crush", 0.59) == [("severe_crush", "L1 at 0.59 of its height", None)]
    assert crushed_by("poor_image_quality", 0.45) == [("severe_crush", "L1 at 0.45 of its height", None)]
    assert crushed_by("severe_crush", None) == [("severe_crush", "L1 by the sheet", "not named")]
    assert crushed_by("poor_image_quality", 0.60) == []
    assert crushed_by("severe_crush", 0.60) == []  # exactly 40 % lost is not more than 40 %; a check stops such a sheet
    assert crushed_by("poor_image_quality", 0.45, scope="crop") == []


def test_every_exclusion_says_whose_judgement_it_rests_on(tables: dict[str, pl.DataFrame]) -> None:
    readers = dict(tables["exclusions"].select("rule", "reader").unique().iter_rows())
    assert readers == {
        "exclusion_all_normal": "1 and 2",
        "exclusion_consensus_missing": "1 and 2",
        "exclusion_crop_condition": "not named",
        "exclusion_no_film": None,
        "exclusion_pathological_only": "1 and 2",
        "exclusion_pathological_vertebra": "1 and 2",
        "exclusion_severe_crush": None,
    }
    settled = frames()
    consensus = pl.DataFrame(
        [(HOSPITAL, "P_normal", "L1", "consensus", 1, "normal", False)], schema=READER_LABELS, orient="row"
    )
    old = (pl.col("patient_id") == "P_normal") & (pl.col("level") == "L1") & (pl.col("reader") == "2")
    labels = settled["reader_labels"].with_columns(label=pl.when(old).then(pl.lit("old")).otherwise("label"))
    settled["reader_labels"] = pl.concat([labels, consensus])
    found = with_models(settled, ["exclusion_all_normal"])["exclusion_all_normal"]
    assert found.select("patient_id", "reader").rows() == [("P_normal", "consensus")]


def test_the_consensus_queue_says_who_differed_on_what_and_what_is_open(tables: dict[str, pl.DataFrame]) -> None:
    columns = ["patient_id", "level", "question", "reader_1", "reader_2", "state", "settled_as", "settled_by"]
    assert tables["consensus_queue"].select(columns).rows() == [
        ("P_both", "L4", "class", "fresh", "old", "open", None, None),
        ("P_fresh", "L3", "class", "old", "normal", "settled", "fresh", "consensus"),
    ]


def test_a_silent_reader_and_a_doubt_about_tumour_stand_in_the_queue() -> None:
    made = frames()
    who = (pl.col("patient_id") == "P_tumour") & (pl.col("reader") == "2") & (pl.col("level") == "L1")
    doubt = made["reader_labels"].with_columns(pathological=pl.col("pathological") & ~who)
    made["reader_labels"] = doubt.filter(~((pl.col("patient_id") == "P_fresh") & (pl.col("level") == "L1")))
    found = with_models(made, ["consensus_queue"])["consensus_queue"]
    rows = found.select("patient_id", "level", "question", "reader_1", "reader_2", "state").rows()
    assert ("P_tumour", "L1", "pathological", "yes", "no", "open") in rows
    assert ("P_fresh", "L1", "class", None, None, "open") in rows
    tables = with_models(made, ["consensus_labels", "consensus_queue"])
    assert broken("consensus_queue_holds_all_differences", tables) == 0
    assert broken("one_consensus_label_per_vertebra", tables) == 0


def test_patients_and_films_without_any_crop_say_why(tables: dict[str, pl.DataFrame]) -> None:
    blind = dict(tables, vertebra_crops=tables["vertebra_crops"].clear())
    for name in AFTER_CROPS:
        del blind[name]
    flow = with_models(blind, AFTER_CROPS)["participant_flow"]
    assert flow.filter(state="used").height == 0
    patients = dict(flow.filter(unit="patient").select("reason", "n").iter_rows())
    assert patients["not_detected"] == 2
    assert broken("participant_flow_adds_up", dict(blind, participant_flow=flow)) == 0


def test_an_ambiguous_film_says_so_and_not_that_nothing_was_found(tables: dict[str, pl.DataFrame]) -> None:
    crops = tables["vertebra_crops"].filter(pl.col("film_id") != "F_fresh_flexed")
    doubtful = dict(tables, vertebra_crops=crops, detected_films=resolved(tables["films"], "F_fresh_flexed"))
    for name in AFTER_CROPS:
        del doubtful[name]
    states = with_models(doubtful, AFTER_CROPS)["participant_states"].filter(film_id="F_fresh_flexed")
    assert states.filter(unit="film").select("state", "reason").rows() == [("excluded", "levels_ambiguous")]
    vertebrae = states.filter(unit="vertebra")
    assert "levels_ambiguous" in vertebrae["reason"].to_list()
    assert "not_detected" not in vertebrae["reason"].to_list()


def test_two_institutions_together_give_what_each_gives_alone(tables: dict[str, pl.DataFrame]) -> None:
    other = {
        name: frame.with_columns(institution=pl.lit("institution_2"))
        for name, frame in (frames() | {each: tables[each] for each in ("vertebra_crops", "detected_films")}).items()
    }
    both = {name: pl.concat([tables[name], frame]) for name, frame in other.items()}
    made = with_models(both, list(MODELS))
    for name in MODELS:
        assert made[name].filter(institution=HOSPITAL).equals(tables[name], null_equal=True), name
        assert made[name].filter(institution="institution_2").height == tables[name].height, name


@pytest.mark.parametrize("name", sorted(set(TESTS) - {"no_question_is_open"}))
def test_the_rules_hold_for_the_known_cohort(name: str, tables: dict[str, pl.DataFrame]) -> None:
    assert broken(name, tables) == 0


def test_every_path_of_the_folder_ends_in_one_state(tables: dict[str, pl.DataFrame]) -> None:
    counted = tables["file_states"].group_by("state").len().sort("state")
    assert dict(counted.iter_rows()) == {
        "archive": 1, "boxes": 1, "film": 6, "ignored": 1, "quarantined": 4, "sheet": 1,
    }  # fmt: skip
    reasons = dict(tables["file_states"].filter(state="quarantined").select("path", "reason").iter_rows())
    assert reasons["boxes/nobody.txt"] == "box_without_film"
    assert reasons["films/corrupt.dcm"] == "corrupt_pixels"


@pytest.mark.parametrize(
    ("said", "broken_rows"),
    [
        ({"film_date": date(2019, 5, 3)}, 0),
        ({"film_date": date(2021, 4, 3)}, 1),
        ({"sex": "F", "age_years": 82}, 0),
        ({"sex": "M"}, 1),
        ({"age_years": 28}, 1),
        ({"sex": None, "age_years": None, "film_date": None}, 0),
    ],
)
def test_a_header_that_contradicts_the_sheet_is_shown_and_does_not_block(
    tables: dict[str, pl.DataFrame], said: dict[str, object], broken_rows: int
) -> None:
    headers = (
        tables["dicom_headers"]
        .filter(path="films/F_fresh.dcm")
        .with_columns(**{name: pl.lit(value, DICOM_HEADERS[name]) for name, value in said.items()})
    )
    assert broken("headers_agree_with_the_sheet", tables | {"dicom_headers": headers}) == broken_rows
    assert not TESTS["headers_agree_with_the_sheet"].blocking


def test_an_open_question_is_a_warning(tables: dict[str, pl.DataFrame]) -> None:
    assert broken("no_question_is_open", tables) == 1
    assert not TESTS["no_question_is_open"].blocking


BREAKS: dict[str, Callable[[dict[str, pl.DataFrame]], dict[str, pl.DataFrame]]] = {
    "every_file_is_film_or_quarantined": lambda t: {
        "quarantine": t["quarantine"].filter(pl.col("reason") != "not_dicom")
    },
    "films_belong_to_one_patient": lambda t: {"films": pl.concat([t["films"], t["films"].head(1)])},
    "every_path_has_one_state": lambda t: {"file_states": t["file_states"].filter(pl.col("state") != "ignored")},
    "quarantine_has_reasons": lambda t: {
        "quarantine": t["quarantine"].with_columns(reason=pl.lit(None, dtype=pl.String))
    },
    "one_consensus_label_per_vertebra": lambda t: {
        "consensus_labels": pl.concat([t["consensus_labels"], t["consensus_labels"].head(1)])
    },
    "exclusions_have_reasons": lambda t: {"exclusions": t["exclusions"].with_columns(evidence=pl.lit(None, pl.String))},
    "exclusions_are_of_enrolled_patients": lambda t: {"patients": t["patients"].head(1)},
    "sheets_name_patients_with_films": lambda t: {
        "patients": t["patients"].with_columns(in_subjects=pl.lit(False)),
        "dicom_headers": t["dicom_headers"].head(2),
    },
    "no_vertebra_both_used_and_excluded": lambda t: {
        "cohort_vertebrae": t["cohort_vertebrae"].with_columns(level=pl.lit("L5"))
    },
    "every_vertebra_used_or_excluded": lambda t: {"cohort_vertebrae": t["cohort_vertebrae"].head(5)},
    "cohort_vertebrae_have_labels": lambda t: {
        "cohort_vertebrae": t["cohort_vertebrae"].with_columns(label=pl.lit(None, pl.String))
    },
    "crop_conditions_find_a_film": lambda t: {"films": t["films"].filter(pl.col("view") == "neutral")},
    "fracture_conditions_are_of_fractures": lambda t: {
        "film_conditions": t["film_conditions"].with_columns(level=pl.lit("L2"))
    },
    "every_unit_has_one_state": lambda t: {
        "participant_states": t["participant_states"].filter(pl.col("unit") != "patient")
    },
    "headers_agree_with_the_sheet": lambda t: {"dicom_headers": t["dicom_headers"].with_columns(sex=pl.lit("M"))},
    "severe_crush_agrees_with_its_ratio": lambda t: {
        "film_conditions": t["film_conditions"].with_columns(severely_crushed=pl.lit(False))
    },
    "consensus_queue_holds_all_differences": lambda t: {"consensus_queue": t["consensus_queue"].slice(1)},
    "participant_flow_adds_up": lambda t: {"participant_flow": t["participant_flow"].with_columns(n=pl.col("n") + 1)},
    "participant_flow_counts_crops": lambda t: {"vertebra_crops": t["vertebra_crops"].head(3)},
    "draft_corrections_add_up": lambda t: {
        "draft_corrections": t["draft_corrections"].with_columns(n_added=pl.col("n_added") + 1)
    },
    "detector_is_not_measured_on_its_own_drafts": lambda t: {
        "detector_answers": t["detector_answers"].with_columns(detector_sha256=pl.lit("older"))
    },
}


@pytest.mark.parametrize("name", sorted(BREAKS))
def test_a_broken_rule_is_found(name: str, tables: dict[str, pl.DataFrame]) -> None:
    assert broken(name, tables | BREAKS[name](tables)) > 0


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models_keep_their_promised_types_and_run_on_empty_tables(name: str, tables: dict[str, pl.DataFrame]) -> None:
    empty = {each: tables[each].clear() for each in MODELS[name].reads}
    made = MODELS[name].make(None, **empty)
    assert made.height == 0
    assert made.schema == tables[name].schema


def test_contract_columns_have_their_types(tables: dict[str, pl.DataFrame]) -> None:
    expected = {
        "films": {"width_px": pl.Int64, "height_px": pl.Int64, "pixel_mm": pl.Float64, "kvp": pl.Float64},
        "consensus_labels": {"label": pl.String, "pathological": pl.Boolean, "consensus_needed": pl.Boolean},
        "exclusions": {"film_id": pl.String, "level": pl.String},
        "participant_flow": {"reason": pl.String, "n": pl.Int64},
    }
    for name, columns in expected.items():
        assert {column: tables[name].schema[column] for column in columns} == columns
