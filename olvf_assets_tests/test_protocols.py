"""Both protocols side by side, from drawn films to the metrics of an external hospital, by the assets' own functions.

The detector is left out: it is right about every vertebra.
"""

import numpy as np
import polars as pl
import pytest

from olvf_assets.crops.crop import crop_vertebrae
from olvf_assets.foundation.tables import TableRun
from olvf_assets.foundation.vocabulary import CLASSES, PROTOCOLS
from olvf_assets.graph import all_checks, all_tables
from olvf_assets.profiles import load_profile
from olvf_assets_tests.classification.made_up import small_settings
from olvf_assets_tests.detection.drawn_films import draw_films

MADE = (
    "patient_splits", "detector_copies", "splits", "balanced_test_set", "balanced_training_set",
    "resnet50_checkpoints", "densenet161_checkpoints", "resnext50_checkpoints", "fold_predictions",
    "validation_predictions", "ensemble_predictions", "vertebra_predictions", "patient_predictions", "sample_lineage",
    "picture_fingerprints", "leakage_audit", "leakage_summary", "test_metrics", "external_metrics",
)  # fmt: skip
FOLDS = (1, 2)


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
    found = boxes.with_columns(confidence=pl.lit(0.9)).join(pl.DataFrame({"protocol": PROTOCOLS}), how="cross")
    tables = {
        "films": films,
        "reader_boxes": boxes,
        "detector_model": pl.DataFrame({"protocol": PROTOCOLS, "generation": [None, None]}),
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
    tables["vertebra_crops"] = crop_vertebrae(tables["cohort_vertebrae"], found, films, store, profile.crops)
    run = TableRun(profile=profile, store=store, data=folder, folds=FOLDS)
    known = {each.name: each for each in all_tables()}
    for name in MADE:
        table = known[name]
        tables[name] = table.conform(table.make(run, **{read: tables[read] for read in table.reads}))
    return run, tables


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
