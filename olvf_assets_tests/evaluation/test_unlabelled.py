"""Figures where samples have no label: they are those of the labelled samples alone."""

from collections.abc import Callable

import polars as pl
import pytest

from olvf_assets.evaluation import (
    calibration,
    confusion,
    decision,
    human,
    metric_tables,
    mri,
    operating,
    roc,
    subgroups,
    temperature,
)
from olvf_assets.profiles import load_profile
from olvf_assets_tests.evaluation.samples import study_predictions, validation_predictions

SETTINGS = load_profile("ci").evaluation.model_copy(update={"draws": 50})
SEED = 7
VALIDATION = validation_predictions(6, 2)
POINTS = operating.operating_points(VALIDATION, SETTINGS)
TEMPERATURES = temperature.calibration_temperatures(VALIDATION)
Frames = tuple[pl.DataFrame, pl.DataFrame]


def readers(ensemble: pl.DataFrame) -> pl.DataFrame:
    """Return `consensus_labels` of two readers who both said the label."""
    labelled = ensemble.filter(pl.col("label").is_not_null())
    said = labelled.unique(["institution", "patient_id", "level"], keep="first", maintain_order=True)
    return said.select("institution", "patient_id", "level", "label", reader_1="label", reader_2="label")


def crops(ensemble: pl.DataFrame) -> pl.DataFrame:
    return ensemble.select("protocol", "institution", "crop_id", "patient_id", "label").unique().with_columns(
        film_id=pl.col("crop_id").str.head(6), view=pl.lit("neutral"), image_path=pl.lit("images/one.png")
    )  # fmt: skip


def by_group(ensemble: pl.DataFrame, folds: pl.DataFrame) -> pl.DataFrame:
    films = crops(ensemble).select("institution", "film_id", detector=pl.lit("CALNEO")).unique()
    subjects = pl.DataFrame(schema={"institution": pl.String, "patient_id": pl.String, "sex": pl.String,
                                    "age_years": pl.Int64})  # fmt: skip
    return subgroups.subgroup_metrics(ensemble, crops(ensemble), films, subjects, SETTINGS, SEED)


TABLES: dict[str, Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]] = {
    "external_metrics": lambda each, folds: metric_tables.external_metrics(each, folds, SETTINGS, SEED),
    "test_metrics": lambda each, folds: metric_tables.internal_metrics(each, folds, SETTINGS, SEED),
    "subgroup_metrics": by_group,
    "confusion_matrices": lambda each, folds: confusion.confusion_matrices(each),
    "roc_curves": lambda each, folds: roc.roc_curves(each, SETTINGS),
    "calibration": lambda each, folds: calibration.calibration(each, TEMPERATURES, SETTINGS, SEED),
    "reliability_curves": lambda each, folds: calibration.reliability_curves(each, TEMPERATURES, SETTINGS, SEED),
    "decision_curves": lambda each, folds: decision.decision_curves(each, TEMPERATURES, SETTINGS, SEED),
    "operating_point_metrics": lambda each, folds: operating.operating_point_metrics(each, POINTS, SETTINGS, SEED),
    "mri_avoided": lambda each, folds: mri.mri_avoided(each, POINTS, SETTINGS, SEED),
    "human_ceiling": lambda each, folds: human.human_ceiling(each, readers(each), SETTINGS, SEED),
    "review_list": lambda each, folds: human.review_list(each, folds, readers(each), crops(each)),
}


def without_labels(frames: Frames, patients: pl.Expr) -> Frames:
    label = pl.when(patients).then(pl.lit(None, pl.String)).otherwise("label")
    ensemble, folds = (frame.with_columns(label=label) for frame in frames)
    return ensemble, folds


def renamed(frames: Frames) -> Frames:
    """Return the predictions under ids that no other study has."""
    ids = [pl.col(name).str.replace("^[FP]", "N") for name in ("sample_id", "crop_id", "patient_id")]
    return frames[0].with_columns(ids), frames[1].with_columns(ids)


def together(*studies: Frames) -> Frames:
    return pl.concat([each[0] for each in studies]), pl.concat([each[1] for each in studies])


INTERNAL = study_predictions("test", "institution_1", 8, 1)
EXTERNAL = study_predictions("external", "institution_2", 8, 3)
SECOND = study_predictions("external", "institution_3", 8, 4)
NEW_FILMS = renamed(study_predictions("unlabelled", "institution_1", 3, 5))


@pytest.mark.parametrize("name", TABLES)
def test_a_site_without_any_label_has_no_row_and_changes_nobody_else_s(name: str) -> None:
    unlabelled = without_labels(SECOND, pl.lit(True))
    internal = without_labels(NEW_FILMS, pl.lit(True))
    alone = TABLES[name](*together(INTERNAL, EXTERNAL))
    found = TABLES[name](*together(INTERNAL, EXTERNAL, unlabelled, internal))
    assert found.equals(alone, null_equal=True)
    assert "institution_3" not in found["institution"].to_list()
    if name not in ("test_metrics", "review_list"):
        assert "institution_2" in found["institution"].to_list()


@pytest.mark.parametrize("name", TABLES)
def test_patients_without_a_label_are_left_out_of_the_figures_of_their_site(name: str) -> None:
    unread = pl.col("patient_id").is_in(["P00000", "P00005"])
    some = without_labels(SECOND, unread)
    rest: Frames = (SECOND[0].filter(~unread), SECOND[1].filter(~unread))
    assert TABLES[name](*some).equals(TABLES[name](*rest), null_equal=True)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("site", [without_labels(SECOND, pl.lit(True)), (SECOND[0].clear(), SECOND[1].clear())])
def test_nothing_labelled_at_all_gives_an_empty_table(name: str, site: Frames) -> None:
    assert TABLES[name](*site).height == 0
