"""The readers as the yardstick: a model agreeing with the consensus as well as readers agree with each other.

What lives here: tables `human_ceiling` and `review_list`. What does not: kappa itself and the readers' agreement on all
vertebrae (cohort, `cohort/agreement.py`).
"""

import numpy as np
import polars as pl

from olvf_assets.cohort.agreement import WEIGHTINGS, landis_koch_band, weighted_kappa
from olvf_assets.evaluation.bootstrap import draws_of, over_patients
from olvf_assets.evaluation.predictions import ScoredSamples, scored_samples, scorers
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import HUMAN_CEILING, PROBABILITIES, REVIEW_LIST
from olvf_assets.foundation.vocabulary import CLASSES

COMPARISONS = ("reader_1_reader_2", "model_consensus", "model_reader_1", "model_reader_2")
SAMPLE = ["protocol", "dataset", "institution", "sample_id"]


def human_ceiling(
    ensemble_predictions: pl.DataFrame, consensus_labels: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return weighted kappas of readers and ensembles on the same vertebrae, and how far each is from the readers'.

    Vertebrae are those with a prediction and a label of both readers; a model says one thing about a vertebra, by its
    probabilities averaged over the vertebra's films. Kappas of all comparisons come from the same draws of patients, so
    `difference` (kappa minus that of `reader_1_reader_2`) has a paired interval. Readers made the consensus, models did
    not; `model_reader_1` and `model_reader_2` compare like with like.

    Args:
        ensemble_predictions: table of that name; replicas are left out.
        consensus_labels: SQL model of that name: reader_1, reader_2 and label of each vertebra.
        settings: those of the bootstrap over patients.
        seed: the profile's seed.

    Raises:
        BrokenPredictionsError: see `scored_samples`.
    """
    frames = [HUMAN_CEILING.to_frame()]
    for whole in scored_samples(ensemble_predictions):
        vertebrae = whole.originals().by_vertebra()
        own = consensus_labels.filter(pl.col("institution") == whole.institution)
        readers = vertebrae.about.join(
            own.select("patient_id", "level", "reader_1", "reader_2"),
            on=["patient_id", "level"],
            how="left",
            maintain_order="left",
        ).select(
            pl.col("reader_1", "reader_2").replace_strict(list(CLASSES), range(len(CLASSES)), return_dtype=pl.Int64)
        )
        both = readers.select(pl.all_horizontal(pl.all().is_not_null())).to_series().to_numpy()
        frames.append(
            _kappas(vertebrae.only(both), readers.to_numpy()[both].T.astype(np.int64), settings, draws_of(whole, seed))
        )
    return pl.concat([frame.select(HUMAN_CEILING.names()).cast(HUMAN_CEILING) for frame in frames])


def review_list(
    ensemble_predictions: pl.DataFrame,
    fold_predictions: pl.DataFrame,
    consensus_labels: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
) -> pl.DataFrame:
    """Return the crops to look at again: both readers said the same, and not one of the networks did.

    Args:
        ensemble_predictions: its `ensemble_of_15` gives `predicted` and the probabilities shown.
        fold_predictions: what every network said; `n_networks` counts those asked.
        consensus_labels: SQL model of that name.
        vertebra_crops: where the picture lies.

    Returns:
        One row a crop (replica 0). All networks disagree with the readers, maybe for different classes.
    """
    winner = (
        pl.concat_list(PROBABILITIES)
        .list.arg_max()
        .replace_strict(range(len(CLASSES)), list(CLASSES), return_dtype=pl.String)
    )
    agreed = consensus_labels.filter(pl.col("reader_1") == pl.col("reader_2")).select(
        "institution", "patient_id", "level", readers_label="reader_1"
    )
    overall = ensemble_predictions.filter(pl.col("model") == "ensemble_of_15", pl.col("replica") == 0)
    said = (
        fold_predictions.filter(pl.col("replica") == 0)
        .with_columns(said=winner)
        .join(agreed, on=["institution", "patient_id", "level"])
        .join(overall.select(*SAMPLE, "predicted"), on=SAMPLE)
        .group_by(*SAMPLE, "readers_label")
        .agg(
            n_networks=pl.len(),
            n_networks_of_readers=(pl.col("said") == pl.col("readers_label")).sum(),
            n_networks_of_predicted=(pl.col("said") == pl.col("predicted")).sum(),
        )
        .filter(pl.col("n_networks_of_readers") == 0)
    )

    def probability_of(column: str) -> pl.Expr:
        return pl.coalesce(pl.when(pl.col(column) == name).then(pl.col(f"p_{name}")) for name in CLASSES)

    return (
        overall.join(said, on=SAMPLE)
        .join(
            vertebra_crops.select("protocol", "institution", "crop_id", "film_id", "view", "image_path"),
            on=["protocol", "institution", "crop_id"],
            how="left",
        )
        .with_columns(p_readers_label=probability_of("readers_label"), p_predicted=probability_of("predicted"))
        .select(REVIEW_LIST.names())
        .cast(REVIEW_LIST)
        .sort("protocol", "dataset", "institution", "patient_id", "level", "crop_id")
    )


def _kappas(
    vertebrae: ScoredSamples, readers: np.ndarray, settings: EvaluationSettings, draws_seed: int
) -> pl.DataFrame:
    """Return the rows of one group. readers: int64 (2, vertebrae), index into CLASSES."""
    said = vertebrae.predicted
    one, two = (np.broadcast_to(each, said.shape) for each in readers)
    consensus = np.broadcast_to(vertebrae.labels, said.shape)
    pairs = ((one, two), (consensus, said), (one, said), (two, said))
    size = len(CLASSES)
    cells = np.stack([left * size + right for left, right in pairs], axis=-1)
    counted = cells[..., None] == np.arange(size * size)

    def figures(sums: np.ndarray) -> np.ndarray:
        tables = sums.reshape(*sums.shape[:-1], size, size)
        kappas = np.stack([weighted_kappa(tables, weighting) for weighting in WEIGHTINGS], axis=-1)
        return np.stack([kappas, kappas - kappas[..., :1, :]], axis=-1)

    entries = vertebrae.entries()
    value, low, high = over_patients(
        counted, vertebrae.patients, [at for *_, at in entries], figures, settings, draws_seed
    )
    of_kappa, of_difference = ([end[..., k].ravel() for end in (value, low, high)] for k in (0, 1))
    columns = dict(zip(("kappa", "ci_low", "ci_high"), of_kappa, strict=True))
    columns |= dict(zip(("difference", "difference_low", "difference_high"), of_difference, strict=True))
    reason = (
        pl.when(pl.col("n_vertebrae") == 0)
        .then(pl.lit("no vertebra with a prediction and both readers' labels"))
        .when(pl.col("kappa").is_nan())
        .then(pl.lit("both sides say one and the same class throughout"))
        .when(pl.col("ci_low").is_nan())
        .then(pl.lit(f"one patient, or defined in fewer than {settings.min_defined_share:.0%} of the draws"))
    )
    return (
        scorers(entries)
        .join(pl.DataFrame({"comparison": COMPARISONS}), how="cross")
        .join(pl.DataFrame({"weighting": WEIGHTINGS}), how="cross")
        .with_columns(
            *vertebrae.constants(),
            pl.lit("patient_bootstrap").alias("ci_method"),
            pl.lit(vertebrae.labels.size).alias("n_vertebrae"),
            **{name: pl.Series(numbers) for name, numbers in columns.items()},
        )
        .with_columns(
            reason=reason,
            band=pl.col("kappa").map_elements(landis_koch_band, return_dtype=pl.String),
        )
    )
