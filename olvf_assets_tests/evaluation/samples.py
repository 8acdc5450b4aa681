"""Made-up predictions for the tests of evaluation and reporting."""

import numpy as np
import polars as pl

from olvf_assets.foundation.vocabulary import CLASSES, LEVELS

ARCHITECTURES = ("densenet161", "resnet50", "resnext50")
FOLDS = (1, 2, 3, 4, 5)


def prediction_rows(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    model: str = "ensemble",
    fold: str = "1",
    dataset: str = "test",
    institution: str = "institution_1",
    patients: np.ndarray | None = None,
    replicas: np.ndarray | None = None,
) -> pl.DataFrame:
    """Return one model's rows. labels: int (n,); probabilities: float (n, 3)."""
    n = len(labels)
    patients = np.arange(n) if patients is None else patients
    replicas = np.zeros(n, dtype=np.int64) if replicas is None else replicas
    return pl.DataFrame(
        {
            "protocol": ["patient"] * n,
            "dataset": [dataset] * n,
            "institution": [institution] * n,
            "model": [model] * n,
            "fold": [fold] * n,
            "sample_id": [f"F{i:05d}-L1-r{r}" for i, r in enumerate(replicas)],
            "crop_id": [f"F{i:05d}-L1" for i in range(n)],
            "patient_id": [f"P{each:05d}" for each in patients],
            "level": ["L1"] * n,
            "label": [CLASSES[each] for each in labels],
            "replica": replicas,
            "p_normal": probabilities[:, 0],
            "p_old": probabilities[:, 1],
            "p_fresh": probabilities[:, 2],
        }
    )


def one_hot(predicted: np.ndarray) -> np.ndarray:
    """Return float (n, 3): certainty in each predicted class."""
    return np.eye(len(CLASSES))[predicted]


def noisy_probabilities(labels: np.ndarray, skill: float, generator: np.random.Generator) -> np.ndarray:
    """Return float (n, 3), rows sum to 1; larger `skill` makes the label more often the most probable class."""
    logits = generator.normal(size=(len(labels), len(CLASSES))) + skill * one_hot(labels)
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


def study_predictions(
    dataset: str, institution: str, patients: int, seed: int, skill: float = 1.5
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (ensemble_predictions, fold_predictions) of a small study, five crops a patient; replicas in `test`."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, size=patients * 5, p=[0.6, 0.22, 0.18])
    copies = np.array([1, 3, 4])[labels] if dataset == "test" else np.ones_like(labels)
    crop = np.repeat(np.arange(labels.size), copies)
    replica = np.concatenate([np.arange(n) for n in copies])
    shared = noisy_probabilities(labels[crop], skill, generator)
    where = {"dataset": dataset, "institution": institution, "patients": crop // 5, "replicas": replica}
    single, by_fold = [], {fold: np.zeros_like(shared) for fold in FOLDS}
    for name in ARCHITECTURES:
        for fold in FOLDS:
            p = (shared + noisy_probabilities(labels[crop], 0.5 * skill, generator)) / 2
            by_fold[fold] += p / len(ARCHITECTURES)
            single.append(prediction_rows(labels[crop], p, model=name, fold=str(fold), **where))
    ensembles = [prediction_rows(labels[crop], p, fold=str(fold), **where) for fold, p in by_fold.items()]
    overall = sum(by_fold.values()) / len(FOLDS)
    ensembles.append(prediction_rows(labels[crop], overall, model="ensemble_of_15", fold="mean", **where))
    best = pl.concat_list("p_normal", "p_old", "p_fresh").list.arg_max()
    ensemble = pl.concat(ensembles).with_columns(predicted=best.replace_strict([0, 1, 2], list(CLASSES)))
    folds = pl.concat(single).rename({"model": "architecture"}).with_columns(pl.col("fold").cast(pl.Int64))
    return ensemble, folds


def validation_predictions(patients: int, seed: int, skill: float = 1.5) -> pl.DataFrame:
    """Return the table of that name: `patients` patients of five vertebrae in each fold, scored by its networks."""
    generator = np.random.default_rng(seed)
    frames = []
    for fold in FOLDS:
        labels = generator.choice(3, size=patients * 5, p=[0.6, 0.22, 0.18])
        labels[:3] = (0, 1, 2)
        shared = noisy_probabilities(labels, skill, generator)
        ids = [f"V{fold}{i:04d}" for i in range(labels.size)]
        for name in ARCHITECTURES:
            p = (shared + noisy_probabilities(labels, 0.5 * skill, generator)) / 2
            where = {"model": name, "fold": str(fold), "dataset": "validation", "patients": np.arange(labels.size) // 5}
            rows = prediction_rows(labels, p, **where)
            frames.append(
                rows.with_columns(
                    sample_id=pl.Series(ids) + "-r0",
                    crop_id=pl.Series(ids),
                    patient_id=f"V{fold}" + pl.col("patient_id"),
                    level=pl.Series([LEVELS[i % 5] for i in range(labels.size)]),
                )
            )
    return pl.concat(frames).rename({"model": "architecture"}).with_columns(pl.col("fold").cast(pl.Int64))
