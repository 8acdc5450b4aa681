"""Evolution of the detector's hyper-parameters (table `detector_evolution`), YOLOv5's genetic way.

What lives here: mutation, one training per generation, the best generation's settings. What does not: training itself
(`training.py`). A generation is trained on the copies that train and scored on those that validate, never on anything
else; its result is kept as soon as it is there, so an evolution that was killed goes on after its last generation.

Source: YOLOv5 `train.py --evolve` (Jocher, 2020-2022): one parent, drawn by fitness among the best five; each value
times 1 + gain x (change or not) x N(0, 1) x U(0, 1) x sigma, clipped to 0.3 .. 3; fitness 0.1 mAP@0.5 + 0.9
mAP@0.5:0.95.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from olvf_assets.detection.metrics import coco_precision, picture_answers
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import DETECTOR_EVOLUTION
from olvf_assets.detection.training import train_detector
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import Protocol
from olvf_assets.storage.artifacts import ArtifactStore

LEAST_CHANGE, MOST_CHANGE = 0.3, 3.0


class Gene(NamedTuple):
    """Bounds of a hyper-parameter and how much of a mutation it takes (YOLOv5's table `meta`)."""

    low: float
    high: float
    gain: float = 1.0


GENES = {
    "lr0": Gene(1e-5, 1e-1),
    "lrf": Gene(0.01, 1.0),
    "momentum": Gene(0.6, 0.98, 0.3),
    "weight_decay": Gene(0.0, 0.001),
    "warmup_epochs": Gene(0.0, 5.0),
    "translate": Gene(0.0, 0.9),
    "mosaic": Gene(0.0, 1.0),
}
OF_GEOMETRY = ("translate", "mosaic")


class NothingEvolvedError(OlvfError):
    """The profile wants evolved hyper-parameters, and there are none."""


def evolve_detector(
    detector_copies: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    seed: int,
    *,
    protocol: Protocol = "patient",
    weights_folder: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `detector_evolution`, a row per generation; generation 0 has the profile's own hyper-parameters.

    Args:
        detector_copies: `detector_copies`.
        store: where copies and finished generations lie.
        settings: the profile's; `evolution` says how many generations of how many epochs.
        seed: the profile's seed; a generation's mutation hangs on it and on the generation's number.
        protocol: which rows of the copies to use.
        weights_folder: see `train_detector`.
        report: gets a line per generation.
    """
    copies = detector_copies.filter(pl.col("protocol") == protocol)
    history: list[dict[str, Any]] = []
    for generation in range(settings.evolution.generations):
        parent, values = mutated(history, settings, derive_seed(seed, "detector_evolution", protocol, generation))
        tried = settings.model_copy(update={"epochs": settings.evolution.epochs})
        tried = with_values(tried, values)
        model = train_detector(copies, store, tried, seed, protocol=protocol, weights_folder=weights_folder)
        kept = store.work_folder("detector_generations", {"model": model["fingerprint"].item()}) / "precision.json"
        precision = store.read(kept, _precision)
        if precision is None:
            validation = copies.filter(pl.col("subset") == "validation")
            answers = picture_answers("validation", validation, model, store, tried)
            precision = coco_precision(answers)["all"]
            store.write_text(kept, json.dumps(precision))
        map50, map50_95 = precision
        history.append(
            {"protocol": protocol, "generation": generation, "parent": parent, **values, "map50": map50,
             "map50_95": map50_95, "fitness": 0.1 * map50 + 0.9 * map50_95, "epochs": tried.epochs,
             "weights_sha256": model["weights_sha256"].item()}
        )  # fmt: skip
        if report is not None:
            report(f"detector: generation {generation + 1}/{settings.evolution.generations}: mAP@0.5 {map50:.3f}, "
                   f"mAP@0.5:0.95 {map50_95:.3f}")  # fmt: skip
    return pl.DataFrame(history, schema=DETECTOR_EVOLUTION)


def mutated(
    history: list[dict[str, Any]], settings: DetectionSettings, seed: int
) -> tuple[int | None, dict[str, float]]:
    """Return the parent's generation and the values of the next one; the profile's own if there is no history.

    Args:
        history: rows of the generations before.
        settings: the profile's values, and how evolution goes.
        seed: decides the parent and the mutation.
    """
    if not history:
        return None, own_values(settings)
    rng = np.random.default_rng(seed)
    best = sorted(history, key=lambda row: (-row["fitness"], row["generation"]))[: settings.evolution.parents]
    weights = np.array([row["fitness"] for row in best]) - best[-1]["fitness"] + 1e-6
    parent = best[rng.choice(len(best), p=weights / weights.sum())]
    gains = np.array([gene.gain for gene in GENES.values()])
    change = np.ones(len(GENES))
    while (change == 1).all():
        hit = rng.random(len(GENES)) < settings.evolution.mutation_probability
        step = gains * hit * rng.standard_normal(len(GENES)) * rng.random() * settings.evolution.sigma
        change = np.clip(1 + step, LEAST_CHANGE, MOST_CHANGE)
    values = {
        name: round(float(np.clip(parent[name] * factor, gene.low, gene.high)), 6)
        for (name, gene), factor in zip(GENES.items(), change, strict=True)
    }
    return parent["generation"], values


def own_values(settings: DetectionSettings) -> dict[str, float]:
    """Return the values of all genes in the settings."""
    return {name: float(getattr(settings.geometry if name in OF_GEOMETRY else settings, name)) for name in GENES}


def with_values(settings: DetectionSettings, values: dict[str, float]) -> DetectionSettings:
    """Return the settings with other values of the genes."""
    geometry = settings.geometry.model_copy(update={name: values[name] for name in OF_GEOMETRY})
    others = {name: values[name] for name in GENES if name not in OF_GEOMETRY}
    return settings.model_copy(update=others | {"geometry": geometry})


def chosen_settings(
    settings: DetectionSettings, detector_evolution: pl.DataFrame, protocol: Protocol
) -> tuple[DetectionSettings, int | None]:
    """Return the settings to train with and the generation they are of: the best one's if the profile says so.

    Raises:
        NothingEvolvedError: `detection.use_evolved` is set and no generation was made.
    """
    if not settings.use_evolved:
        return settings, None
    rows = detector_evolution.filter(pl.col("protocol") == protocol).sort(
        "fitness", "generation", descending=[True, False]
    )
    if rows.is_empty():
        raise NothingEvolvedError(
            f"detection.use_evolved is true, but detector_evolution has no generation of protocol {protocol}: set "
            "detection.evolution.generations in the profile and materialise detector_evolution, or set it to false"
        )
    best = rows.row(0, named=True)
    return with_values(settings, best), best["generation"]


def _precision(kept: Path) -> tuple[float, float]:
    map50, map50_95 = json.loads(kept.read_text())
    return float(map50), float(map50_95)
