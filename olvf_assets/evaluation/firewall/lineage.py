"""What every sample of every stage derives from.

What lives here: the relation `sample_lineage`, from which the audit (`leakage.py`) and anyone with SQL can tell what a
scored sample has in common with what was learnt from. What does not: judging it. Light: no pixels.

Stages that something is learnt or chosen from: `detector_training`, `detector_evolution`, `classifier_training` and
`classifier_validation` of a fold, `temperature` and `operating_point` of a fold. Stages that are scored: `test`,
`external`; and `detector_validation`, `classifier_validation`, which are scored against the training beside them.
"""

import polars as pl

from olvf_assets.evaluation.tables import SAMPLE_LINEAGE

PICTURE_OF = ["protocol", "institution", "crop_id"]


def sample_lineage(
    detector_copies: pl.DataFrame,
    detector_model: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
    validation_predictions: pl.DataFrame,
    fold_predictions: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
    films: pl.DataFrame,
    evolved: tuple[str, ...] = (),
) -> pl.DataFrame:
    """Return `sample_lineage`: one row per protocol, stage, fold and sample, with the pictures that it derives from.

    Args:
        detector_copies: pictures that the detector validates on.
        detector_model: the detectors with the record of what they learnt from, whatever became of the tables since.
        balanced_training_set: crops and replicas that the classifiers learn from and validate on.
        validation_predictions: what temperatures and operating points are fitted on.
        fold_predictions: what is scored, test and external; unlabelled samples count in no figure and are left out.
        vertebra_crops: from which film each crop was cut, and its picture.
        films: the picture of each film.
        evolved: protocols whose hyper-parameters were chosen on the detector's copies.
    """
    copies = detector_copies.select(
        "protocol",
        "institution",
        "patient_id",
        "film_id",
        "copy",
        "subset",
        sample_id=pl.format("{}-c{}", "film_id", "copy"),
    )
    learnt = _learnt_by_detectors(detector_model, films)
    detector = pl.concat(
        [
            learnt.with_columns(stage=pl.lit("detector_training")),
            copies.filter(subset="validation").with_columns(stage=pl.lit("detector_validation")),
            copies.filter(pl.col("protocol").is_in(evolved)).with_columns(stage=pl.lit("detector_evolution")),
        ],
        how="diagonal",
    ).with_columns(fold=pl.lit(None, pl.Int64), crop_id=pl.lit(None, pl.String))
    training = balanced_training_set.rename({"replica": "copy", "fold": "validates_in"})
    folds = balanced_training_set.select("protocol", "fold").unique()
    of_fold = training.join(folds, on="protocol").with_columns(
        stage=pl.when(pl.col("validates_in") == pl.col("fold"))
        .then(pl.lit("classifier_validation"))
        .otherwise(pl.lit("classifier_training"))
    )
    fitted = _samples(validation_predictions, "protocol", "fold")
    in_figures = fold_predictions.filter(pl.col("label").is_not_null())
    scored = _samples(in_figures, "protocol", "dataset").rename({"dataset": "stage"})
    crops = pl.concat(
        [
            of_fold,
            fitted.with_columns(stage=pl.lit("temperature")),
            fitted.with_columns(stage=pl.lit("operating_point")),
            scored.with_columns(fold=pl.lit(None, pl.Int64)),
        ],
        how="diagonal",
    ).join(vertebra_crops.select(*PICTURE_OF, "film_id", crop_path="image_path"), on=PICTURE_OF, how="left")
    paths = films.select("institution", "film_id", film_path="image_path")
    table = pl.concat([detector, crops], how="diagonal").join(paths, on=["institution", "film_id"], how="left")
    keys = ["protocol", "stage", "fold", "institution", "sample_id"]
    return table.select(SAMPLE_LINEAGE.names()).cast(SAMPLE_LINEAGE).sort(keys)


def _learnt_by_detectors(detector_model: pl.DataFrame, films: pl.DataFrame) -> pl.DataFrame:
    """Return the training pictures that each detector's own record names, under every patient they are known for.

    That is the patient of the record, and the one whose film it is now where that is another.
    """
    record = detector_model.select("protocol", "learnt_from").explode("learnt_from").unnest("learnt_from")
    film = ["institution", "film_id"]
    now = films.select(*film, patient_now="patient_id").unique(film)
    moved = record.join(now, on=film).filter(pl.col("patient_id") != pl.col("patient_now"))
    known = pl.concat([record, moved.with_columns(patient_id="patient_now").select(record.columns)])
    sample_id = pl.format("{}-c{}", "film_id", "copy")
    return known.select("protocol", *film, "patient_id", "copy", sample_id=sample_id)


def _samples(predictions: pl.DataFrame, *keys: str) -> pl.DataFrame:
    about = ("institution", "patient_id", "crop_id", "sample_id", "replica")
    return predictions.select(*keys, *about).unique().rename({"replica": "copy"})
