"""What a hospital's people look at: a row for each vertebra of their films that the networks judged.

What lives here: table `worklist`. What does not: the page that shows it (`worklist_page.py`), any figure of merit. It
reads no label to choose or to order: a hospital without labels has the same list.
"""

import polars as pl

from olvf_assets.classification.ensemble import ensemble_predictions
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.reporting.tables import WORKLIST

PROBABILITIES = [f"p_{name}" for name in CLASSES]
CROP = ["protocol", "institution", "crop_id"]
BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]


def worklist(
    fold_predictions: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
    films: pl.DataFrame,
    crop_attention: pl.DataFrame,
    operating_points: pl.DataFrame,
    folds: int,
) -> pl.DataFrame:
    """Return table `worklist`, the most doubtful vertebra first.

    Args:
        fold_predictions: `fold_predictions`; test samples are left out.
        vertebra_crops: `vertebra_crops` of the same institutions, for the places on the films.
        films: `films` of the same.
        crop_attention: `crop_attention` of the same.
        operating_points: `operating_points`: from which p_fresh on each fold's ensemble calls a vertebra fresh.
        folds: how many folds there are.

    Raises:
        EnsembleError: a crop lacks networks.
    """
    judged = fold_predictions.filter(pl.col("dataset") != "test")
    ensembles = ensemble_predictions(judged, folds)
    maps = crop_attention.select(*CROP, "map_path")
    places = vertebra_crops.select(*CROP, "film_id", "view", *BOX, "scale", "pad_left_px", "pad_top_px")
    pictures = films.select("institution", "film_id", "width_px", "height_px", film_path="image_path")
    likeliest = pl.concat_list(PROBABILITIES).list.sort(descending=True)
    found = (
        ensembles.filter(model="ensemble_of_15")
        .join(places, on=CROP)
        .join(pictures, on=["institution", "film_id"])
        .join(maps, on=CROP, how="left")
        .join(_agreeing(judged), on=[*CROP, "predicted"], how="left")
        .join(_calling_fresh(ensembles, operating_points), on=CROP, how="left")
        .with_columns(
            doubt=1 - (likeliest.list.get(0) - likeliest.list.get(1)),
            n_networks_of_predicted=pl.col("n_networks_of_predicted").fill_null(0),
        )
    )
    order = ["protocol", "institution", "doubt", "crop_id"]
    return found.select(list(WORKLIST)).cast(WORKLIST).sort(order, descending=[False, False, True, False])


def _agreeing(fold_predictions: pl.DataFrame) -> pl.DataFrame:
    """Return how many of the networks say each class of each crop."""
    winner = (
        pl.concat_list(PROBABILITIES).list.arg_max().replace_strict(dict(enumerate(CLASSES)), return_dtype=pl.String)
    )
    said = fold_predictions.with_columns(predicted=winner)
    return said.group_by(*CROP, "predicted").len("n_networks_of_predicted")


def _calling_fresh(ensembles: pl.DataFrame, operating_points: pl.DataFrame) -> pl.DataFrame:
    """Return how many folds' ensembles call each crop fresh, at the most sensitive of their operating points."""
    points = operating_points.filter(unit="vertebra", positive_class="fresh", model="ensemble").drop_nulls("threshold")
    most = points.filter(pl.col("target_sensitivity") == pl.col("target_sensitivity").max().over("protocol"))
    called = ensembles.filter(model="ensemble").join(
        most.select("protocol", "fold", "target_sensitivity", "threshold"), on=["protocol", "fold"]
    )
    return called.group_by(CROP).agg(
        n_folds_call_fresh=(pl.col("p_fresh") >= pl.col("threshold")).sum(),
        target_sensitivity=pl.col("target_sensitivity").first(),
    )
