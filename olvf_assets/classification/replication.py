"""Balanced sets: the rarer classes appear again as altered copies.

What lives here: how often each class appears, `balanced_test_set`, `balanced_training_set` and the samples that are
scored without being in either. What does not: the alteration itself (Table 3, `olvf_assets.detection.augmentation`),
the on-the-fly augmentation of training (Table 4, `augmentation.py`), and which side a crop is on (`splits.py`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from olvf_assets.classification.tables import BALANCED_TEST_SET, BALANCED_TRAINING_SET
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.settings import Settings
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore

SAMPLES_PER_TASK = 48

Report = Callable[[str], None]


def replication_factors(counts: Mapping[str, int], given: Mapping[Any, int] | None = None) -> dict[str, int]:
    """Return how often each class is to appear.

    Args:
        counts: crops per class.
        given: factors that the study fixes; None computes round(normal / class), at least 1.
    """
    if given is not None:
        return {name: given.get(name, 1) for name in CLASSES}
    normal = counts.get("normal", 0)
    return {name: max(1, int(normal / counts[name] + 0.5)) if counts.get(name) else 1 for name in CLASSES}


def balanced_test_set(
    splits: pl.DataFrame,
    store: ArtifactStore,
    ranges: Settings,
    seed: int,
    *,
    given: Mapping[Any, int] | None = None,
    workers: int = 0,
    report: Report | None = None,
) -> pl.DataFrame:
    """Return table `balanced_test_set`: every held-out crop as replica 0, and altered replicas of the rarer classes.

    Args:
        splits: table `splits`.
        store: where crops are read and replicas written.
        ranges: the strengths of Table 3, as `olvf_assets.detection.augmentation.augment` takes them.
        seed: the profile's seed; each replica's own seed hangs on its sample id alone.
        given: how often each class appears; None balances.
        workers: processes, 0 for one per core.
        report: progress lines.
    """
    held_out = splits.filter(pl.col("role") == "test")
    table = _replicated(held_out, store, ranges, seed, given, workers, report)
    return table.cast(BALANCED_TEST_SET).select(list(BALANCED_TEST_SET))


def balanced_training_set(
    splits: pl.DataFrame,
    store: ArtifactStore,
    ranges: Settings,
    seed: int,
    *,
    folds: int,
    given: Mapping[Any, int] | None = None,
    workers: int = 0,
    report: Report | None = None,
) -> pl.DataFrame:
    """Return table `balanced_training_set`, like the test set's, with the fold in which each sample validates.

    In protocol `patient` replicas share their crop's fold; in protocol `thesis` every sample is dealt a fold of its own
    (`dealt_folds`), whatever crop or patient it is of.
    """
    training = splits.filter(pl.col("role") == "train")
    samples = _replicated(training, store, ranges, seed, given, workers, report)
    table = dealt_folds(samples, folds, seed)
    return table.cast(BALANCED_TRAINING_SET).select(list(BALANCED_TRAINING_SET))


def dealt_folds(samples: pl.DataFrame, folds: int, seed: int) -> pl.DataFrame:
    """Return the samples with a fold from 1 to `folds` where protocol `thesis` left it open (thesis: 8:2 five ways).

    Samples are shuffled within their class and dealt in turn, classes one after another, so that folds differ by at
    most one sample, in all and of each class.
    """
    by_patient, by_sample = (samples.filter(pl.col("protocol") == each) for each in ("patient", "thesis"))
    shuffled = [by_sample.clear()]
    for (label,), own in by_sample.sort("label", "sample_id").group_by("label", maintain_order=True):
        lots = np.random.default_rng(derive_seed(seed, "folds", "thesis", label)).permutation(own.height)
        shuffled.append(own[lots.tolist()])
    dealt = pl.concat(shuffled).with_columns(fold=pl.int_range(pl.len()) % folds + 1)
    return pl.concat([by_patient, dealt]).sort("protocol", "sample_id")


def samples_to_score(detected_crops: pl.DataFrame, patient_splits: pl.DataFrame) -> pl.DataFrame:
    """Return all crops of patients whom no split names as unreplicated samples, in the columns of a balanced set.

    Those are external patients, and development patients who are not in the cohort: nothing was learnt from either. No
    label has a say, and `label` is null: who comes to be labelled is not scored again.
    """
    patient = ["institution", "patient_id"]
    free = detected_crops.join(patient_splits, on=patient, how="anti").with_columns(
        pl.lit(None, pl.String).alias("label"),
        (pl.col("crop_id") + "-r0").alias("sample_id"),
        pl.lit(None, pl.Int64).alias("fold"),
        pl.lit(0, pl.Int64).alias("replica"),
    )
    return free.select(list(BALANCED_TEST_SET)).cast(BALANCED_TEST_SET).sort("protocol", "sample_id")


def replica_rows(side: pl.DataFrame, given: Mapping[Any, int] | None, report: Report | None = None) -> pl.DataFrame:
    """Return `side`, rows of `splits`, repeated as their protocol and class demand, with `replica` and `sample_id`."""
    parts = []
    for (protocol,), part in side.group_by("protocol", maintain_order=True):
        factors = replication_factors(dict(part["label"].value_counts().iter_rows()), given)
        repeats = pl.col("label").replace_strict(factors, return_dtype=pl.Int64)
        parts.append(part.with_columns(pl.int_ranges(0, repeats).alias("replica")).explode("replica"))
        if report is not None:
            report(f"protocol {protocol!s}: " + ", ".join(f"{name} x{factor}" for name, factor in factors.items()))
    sample_id = pl.col("crop_id") + "-r" + pl.col("replica").cast(pl.String)
    return pl.concat(parts).with_columns(sample_id.alias("sample_id")).sort("protocol", "sample_id")


def _replicated(
    side: pl.DataFrame,
    store: ArtifactStore,
    ranges: Settings,
    seed: int,
    given: Mapping[Any, int] | None,
    workers: int,
    report: Report | None,
) -> pl.DataFrame:
    samples = replica_rows(side, given, report)
    parts = []
    for part in samples.partition_by("protocol", maintain_order=True):
        altered = part.filter(pl.col("replica") > 0).select("sample_id", "image_path").sort("sample_id")
        paths = _replica_paths(altered, store, ranges, seed, workers, report)
        parts.append(part.join(paths, on="sample_id", how="left"))
    replica_or_crop = pl.coalesce("replica_path", "image_path").alias("image_path")
    return pl.concat(parts).with_columns(replica_or_crop).drop("replica_path").sort("protocol", "sample_id")


def _replica_paths(
    altered: pl.DataFrame, store: ArtifactStore, ranges: Settings, seed: int, workers: int, report: Report | None
) -> pl.DataFrame:
    """Return (sample_id, replica_path)."""
    chunks = [list(part.iter_rows()) for part in altered.iter_slices(SAMPLES_PER_TASK)]
    make = partial(_alter, store=store, ranges=ranges, seed=seed)
    made = parallel_map(make, chunks, workers=workers, what="groups of replicas", report=report)
    rows = [row for chunk in made for row in chunk]
    return pl.DataFrame(rows, schema={"sample_id": pl.String, "replica_path": pl.String}, orient="row")


def _alter(rows: list[tuple[str, str]], store: ArtifactStore, ranges: Any, seed: int) -> list[tuple[str, str]]:
    from olvf_assets.detection.augmentation import augment

    made = []
    for sample_id, image_path in rows:
        replica = augment(store.load_image(image_path), derive_seed(seed, "replica", sample_id), ranges)
        made.append((sample_id, store.save_image(replica)[0]))
    return made
