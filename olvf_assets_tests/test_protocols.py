"""Both protocols side by side, from drawn films to the metrics of an external hospital, by the assets' own functions.

The detector is left out: it is right about every vertebra.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from olvf_assets.crops.crop import crop_vertebrae
from olvf_assets.crops.of_cohort import vertebra_crops
from olvf_assets.detection.provenance import detector_description, learnt_from, training_copies
from olvf_assets.detection.tables import DETECTOR_EVOLUTION, DETECTOR_MODEL
from olvf_assets.evaluation.checks import FRESHNESS
from olvf_assets.evaluation.firewall.freshness import STALE
from olvf_assets.foundation.tables import Table, TableRun
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS, PROTOCOLS
from olvf_assets.intake.tables import DRAWN_FILMS
from olvf_assets.orchestration.graph import all_checks, all_tables
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import fingerprint
from olvf_assets_tests.classification.made_up import small_settings
from olvf_assets_tests.detection.drawn_films import draw_films

MADE = (
    "patient_splits", "detector_copies", "splits", "balanced_test_set", "balanced_training_set",
    "resnet50_checkpoints", "densenet161_checkpoints", "resnext50_checkpoints", "crop_scores", "fold_predictions",
    "validation_predictions", "ensemble_predictions", "vertebra_predictions", "patient_predictions", "sample_lineage",
    "picture_fingerprints", "leakage_audit", "leakage_summary", "test_metrics", "external_metrics",
)  # fmt: skip
FOLDS = (1, 2)


def untrained_detector(copies: pl.DataFrame, run: TableRun, protocol: str, weights_sha256: str) -> pl.DataFrame:
    """Return the row of `detector_model` of a detector that would have been trained on the copies."""
    learnt = training_copies(copies, protocol)
    description = detector_description(learnt, run.profile.detection, run.seed, protocol, "random")
    row = {
        "protocol": protocol,
        "weights_sha256": weights_sha256,
        "fingerprint": fingerprint(description),
        "source_sha256": "random",
        "learnt_from": learnt_from(learnt),
    }
    return pl.DataFrame([{name: row.get(name) for name in DETECTOR_MODEL}], schema=DETECTOR_MODEL)


def with_a_sacrum(film_id: str, top_px: float) -> pl.DataFrame:
    """Return `drawn_films` where S1 is drawn in one film."""
    box = {"vertebra": "S1", "x0_px": 40.0, "y0_px": top_px, "x1_px": 90.0, "y1_px": top_px + 30}
    institution = "institution_1" if film_id.startswith("FA") else "institution_2"
    row = (institution, film_id, len(LEVELS), False, "yolo", [box])
    return pl.DataFrame([row], schema=DRAWN_FILMS, orient="row")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[TableRun, dict[str, pl.DataFrame]]:
    """Return what the assets were told, and the tables; every level of every film is in, classes by turns."""
    folder = tmp_path_factory.mktemp("protocols")
    people = {"institution_1": [f"A{n:02}" for n in range(16)], "institution_2": [f"X{n}" for n in range(4)]}
    store, films, boxes = draw_films(folder, people)
    of_film = films.select("film_id", "patient_id", "view")
    levels = boxes.select("institution", "film_id", "level").join(of_film, on="film_id")
    role = pl.when(pl.col("institution") == "institution_1").then(pl.lit("development")).otherwise(pl.lit("external"))
    turn = (pl.col("patient_id").rank("dense") + pl.col("level").str.slice(1).cast(pl.Int64)) % len(CLASSES)
    label = turn.replace_strict(range(len(CLASSES)), list(CLASSES), return_dtype=pl.String)
    detectors = pl.DataFrame({"protocol": PROTOCOLS, "detector_sha256": ["of patients", "of the thesis"]})
    found = boxes.with_columns(confidence=pl.lit(0.9)).join(detectors, how="cross")
    tables = {
        "films": films,
        "reader_boxes": boxes,
        "drawn_films": with_a_sacrum("FA00", 200.0),
        "detector_evolution": DETECTOR_EVOLUTION.to_frame(),
        "institutions": pl.DataFrame({"institution": list(people), "role": ["development", "external"]}),
        "cohort_vertebrae": levels.with_columns(role=role, label=label),
    }
    ci = load_profile("ci")
    profile = ci.model_copy(
        update={
            "protocols": PROTOCOLS,
            "cohort": ci.cohort.model_copy(update={"test_share": 0.25, "folds": len(FOLDS)}),
            "detection": ci.detection.model_copy(update={"image_px": 64, "copies": 1, "workers": 1}),
            "classification": small_settings(
                epochs=1, folds=len(FOLDS), input_divisor=4, replication={"train": {"old": 2, "fresh": 2}}
            ),
            "evaluation": ci.evaluation.model_copy(
                update={"draws": 50, "near_duplicate_correlation": 1.0}  # drawn films are all alike
            ),
        }
    )
    tables["detected_crops"] = crop_vertebrae(found, films, store, profile.crops)
    tables["unlabelled_vertebrae"] = tables["cohort_vertebrae"].clear().drop("label")
    tables["vertebra_crops"] = vertebra_crops(
        tables["detected_crops"], tables["cohort_vertebrae"], tables["unlabelled_vertebrae"]
    )
    run = TableRun(profile=profile, store=store, data=folder, folds=FOLDS, stored=tables.get)
    known = {each.name: each for each in all_tables()}
    for name in MADE:
        if name == "splits":
            tables["detector_model"] = pl.concat(
                untrained_detector(tables["detector_copies"], run, *row) for row in detectors.iter_rows()
            )
        tables[name] = pl.concat(rows(known[name], run, tables, known))
    return run, tables


def rows(
    table: Table, run: TableRun, tables: dict[str, pl.DataFrame], known: dict[str, Table]
) -> Iterator[pl.DataFrame]:
    """Yield a table's rows, hospital by hospital where it is kept so."""
    for key in ("institution_1", "institution_2") if table.by == "institution" else ("",):
        own = {
            name: tables[name].filter(institution=key) if key and known[name].by == "institution" else tables[name]
            for name in table.reads
        }
        yield table.conform(table.make(dataclasses.replace(run, institution=key), **own))


@pytest.mark.parametrize(
    "name", [name for name in MADE if name not in ("patient_splits", "picture_fingerprints", "leakage_audit")]
)
def test_every_table_that_hangs_on_a_split_has_both_protocols(name: str, made) -> None:
    assert set(made[1][name]["protocol"]) == set(PROTOCOLS)


@pytest.mark.parametrize("check", [each for each in all_checks() if each.table in MADE], ids=lambda each: each.name)
def test_the_rules_hold_under_both_protocols(check, made) -> None:
    run, tables = made
    if set(check.reads) <= set(tables):
        assert check.find(run, **{name: tables[name] for name in check.reads}).rows() == []


def test_patients_are_kept_apart_in_one_protocol_and_shared_in_the_other(made) -> None:
    tables = made[1]

    def patients(table: str, protocol: str) -> set[str]:
        own = tables[table].filter(protocol=protocol, institution="institution_1")
        return set(own["patient_id"])

    for trained in ("balanced_training_set", "detector_copies"):
        assert not patients(trained, "patient") & patients("fold_predictions", "patient")
        assert patients(trained, "thesis") & patients("fold_predictions", "thesis")
    folds = tables["balanced_training_set"].group_by("protocol", "crop_id").agg(pl.col("fold").n_unique())
    assert folds.filter(protocol="patient")["fold"].max() == 1
    assert folds.filter(protocol="thesis")["fold"].max() == 2


def test_the_protocols_have_networks_of_their_own(made) -> None:
    weights = pl.concat(made[1][f"{name}_checkpoints"] for name in ("resnet50", "densenet161", "resnext50"))
    assert weights.height == 2 * 3 * len(FOLDS)
    assert weights["weights_sha256"].n_unique() == weights.height


def test_external_films_are_scored_under_both_protocols(made) -> None:
    accuracy = made[1]["external_metrics"].filter(
        model="ensemble", fold="mean", positive_class="all", metric="accuracy", ci_method="wald"
    )
    assert set(accuracy["protocol"]) == set(PROTOCOLS)
    assert np.isfinite(accuracy["value"].to_numpy()).all()


def test_the_thesis_leaks_the_patient_protocol_does_not_and_the_metrics_say_so(made) -> None:
    tables = made[1]
    assert tables["leakage_audit"]["protocol"].unique().to_list() == ["thesis"]
    assert tables["leakage_summary"].filter(protocol="patient")["n_samples"].sum() == 0
    for name in ("test_metrics", "external_metrics"):
        assert (
            tables[name].filter(protocol="patient")["leaks"].null_count()
            == tables[name].filter(protocol="patient").height
        )
    (stamp,) = tables["test_metrics"].filter(protocol="thesis")["leaks"].unique()
    assert "classifier training: same film" in stamp
    assert "detector training: same film of 100%" in stamp


def stale(made, name: str, **changes: pl.DataFrame) -> list[str]:
    """Return what the rules over a table of figures say is to be made again, if the lake held other tables."""
    run, tables = made
    run = dataclasses.replace(run, stored=(tables | changes).get)
    found = []
    for each in FRESHNESS:
        if each.table == name:
            rows = each.find(run, **{read: (tables | changes)[read] for read in each.reads})
            assert rows.schema == STALE
            found += rows["make_again"].to_list()
    return list(dict.fromkeys(found))


def changed(frame: pl.DataFrame, where: pl.Expr, **values: pl.Expr) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(where).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


OF_A = pl.col("institution") == "institution_1"
INTAKE_OF = {  # what only the intake of a hospital has made again
    "relabelled": lambda cohort: changed(cohort, OF_A & (pl.col("patient_id") == "A00"), label=pl.lit("fresh")),
    "withdrawn": lambda cohort: cohort.filter(pl.col("patient_id") != "A01"),
    "now external": lambda cohort: changed(cohort, OF_A, role=pl.lit("external")),
    "of another patient": lambda cohort: changed(cohort, pl.col("patient_id") == "A02", patient_id=pl.lit("A99")),
}


@pytest.mark.parametrize("change", INTAKE_OF)
def test_figures_of_the_internal_test_stop_when_only_the_intake_was_made_again(change: str, made) -> None:
    cohort = INTAKE_OF[change](made[1]["cohort_vertebrae"])
    for table in ("test_metrics", "roc_curves", "operating_points", "calibration_temperatures", "ensemble_predictions"):
        assert "vertebra_crops" in stale(made, table, cohort_vertebrae=cohort)


@pytest.mark.parametrize("change", INTAKE_OF)
def test_figures_stop_when_intake_and_crops_were_made_again_and_say_what_comes_next(change: str, made) -> None:
    changes = {name: INTAKE_OF[change](made[1][name]) for name in ("cohort_vertebrae", "vertebra_crops")}
    assert "splits" in stale(made, "test_metrics", **changes)


def test_external_figures_are_of_the_external_crops_at_hand(made) -> None:
    crops = made[1]["vertebra_crops"]
    assert stale(made, "external_metrics", vertebra_crops=crops.filter(pl.col("patient_id") != "X0")) == [
        "crop_scores, fold_predictions", "crop_scores, fold_predictions, ensemble_predictions"
    ]  # fmt: skip
    cut_anew = changed(crops, pl.col("patient_id") == "X1", image_path=pl.lit("images/other.png"))
    assert "crop_scores, fold_predictions" in stale(made, "external_metrics", vertebra_crops=cut_anew)
    gone = made[1]["cohort_vertebrae"].filter(pl.col("patient_id") != "X0")
    assert stale(made, "external_metrics", cohort_vertebrae=gone) == ["vertebra_crops"]
    # a hospital that came in and is not scored yet, and development patients who are gone, concern others
    newcomer = crops.filter(role="external").with_columns(institution=pl.lit("institution_3"))
    newly = {"vertebra_crops": pl.concat([crops, newcomer])}
    cohort = made[1]["cohort_vertebrae"]
    came = cohort.filter(role="external").with_columns(institution=pl.lit("institution_3"))
    assert stale(made, "external_metrics", **newly, cohort_vertebrae=pl.concat([cohort, came])) == []


def test_external_figures_are_of_the_labels_at_hand_be_they_there_or_not(made) -> None:
    tables = made[1]
    unread = pl.col("patient_id") == "X0"
    nothing = {"label": pl.lit(None, pl.String)}
    before = {
        name: changed(tables[name], unread, **nothing)
        for name in ("vertebra_crops", "fold_predictions", "ensemble_predictions")
    }
    cohort = {
        "cohort_vertebrae": tables["cohort_vertebrae"].filter(~unread),
        "unlabelled_vertebrae": tables["cohort_vertebrae"].filter(unread).drop("label"),
    }
    for table in ("external_metrics", "vertebra_predictions", "operating_point_calls", "ensemble_predictions"):
        assert stale(made, table, **before, **cohort) == [], table
        # the label has come, and the crops, or the predictions, are still those without
        assert stale(made, table, **before)[0] == "vertebra_crops"
        late = before | {"vertebra_crops": tables["vertebra_crops"]}
        assert stale(made, table, **late)[0].startswith("crop_scores, fold_predictions")


def test_each_step_from_the_split_to_the_networks_is_held_against_the_one_before(made) -> None:
    tables = made[1]
    first = tables["patient_splits"].filter(role="train")["patient_id"][0]
    moved = changed(
        tables["patient_splits"], pl.col("patient_id") == first, role=pl.lit("test"), fold=pl.lit(None, pl.Int64)
    )
    assert {"detector_copies", "splits"} <= set(stale(made, "test_metrics", patient_splits=moved))
    boxes = changed(tables["reader_boxes"], pl.col("film_id") == "FA00", x1_px=pl.col("x1_px") + 3)
    assert stale(made, "test_metrics", reader_boxes=boxes) == ["detector_copies"]
    assert stale(made, "test_metrics", drawn_films=with_a_sacrum("FA00", 203.0)) == ["detector_copies"]
    assert stale(made, "test_metrics", drawn_films=with_a_sacrum("FX0", 200.0)) == ["detector_copies"]
    copies = tables["detector_copies"].with_columns(image_path=pl.lit("images/other.png"))
    assert stale(made, "external_metrics", detector_copies=copies) == ["detector_model"]
    other = changed(tables["detector_model"], pl.lit(True), weights_sha256=pl.lit("trained anew"))
    assert stale(made, "external_metrics", detector_model=other) == [
        "detection_candidates, detected_films, detections, detected_crops, vertebra_crops"
    ]
    training = changed(tables["balanced_training_set"], pl.col("replica") == 1, image_path=pl.lit("images/other.png"))
    assert stale(made, "external_metrics", balanced_training_set=training) == [
        "resnet50_checkpoints", "densenet161_checkpoints", "resnext50_checkpoints"
    ]  # fmt: skip
    assert stale(made, "test_metrics", balanced_test_set=tables["balanced_test_set"].head(3))[0] == "balanced_test_set"


def test_predictions_of_other_weights_stop_what_is_made_of_them(made) -> None:
    weights = made[1]["resnext50_checkpoints"].with_columns(weights_sha256=pl.format("other{}", "fold"))
    for table in ("test_metrics", "external_metrics", "ensemble_predictions", "vertebra_predictions", "roc_curves"):
        assert stale(made, table, resnext50_checkpoints=weights)[-1].startswith("crop_scores, fold_predictions")
    assert stale(made, "operating_points", resnext50_checkpoints=weights) == ["validation_predictions"]


def test_a_table_that_is_absent_or_of_an_older_release_is_named(made) -> None:
    run, tables = made
    less = {name: frame for name, frame in tables.items() if name != "splits"}
    rule = next(each for each in FRESHNESS if each.table == "test_metrics")
    predictions = {name: tables[name] for name in rule.reads}
    rows = rule.find(dataclasses.replace(run, stored=less.get), **predictions)
    assert "splits was never made" in rows.filter(make_again="splits")["because"].item()
    older = tables | {"resnet50_checkpoints": tables["resnet50_checkpoints"].drop("start_sha256")}
    rows = rule.find(dataclasses.replace(run, stored=older.get), **predictions)
    assert "of an older release" in rows.filter(make_again="resnet50_checkpoints")["because"].item()
