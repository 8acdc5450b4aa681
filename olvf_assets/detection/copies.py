"""Pictures that the detector learns from: films squeezed to a square, and their augmented copies.

What lives here: the split into training and validation films (by patient, before anything is copied), squeezing,
copying. What does not: the operators (`augmentation.py`), learning (`training.py`).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from olvf_assets.detection.augmentation import augment
from olvf_assets.detection.settings import AugmentationRanges, DetectionSettings
from olvf_assets.detection.tables import DETECTOR_COPIES
from olvf_assets.foundation.artifacts import ArtifactStore, write_atomically
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.seeds import derive_seed

CODE_VERSION = "1"


class NoTrainingFilmsError(OlvfError):
    """There is no film with drawn boxes among the patients whose films the detector may learn from."""


class _Job(NamedTuple):
    """What one worker needs to make all copies of one film."""

    root: Path
    image_path: str
    image_px: int
    copies: list[int]
    seeds: list[int]
    ranges: AugmentationRanges


def make_detector_copies(
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    patient_splits: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    seed: int,
    *,
    protocol: str = "patient",
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `detector_copies`: one row per picture, stored as `image_px` x `image_px` grey PNG.

    A training film (role `train`, another fold than the validation fold) gives its augmented copies 1..n and, with
    `keep_original`, copy 0, the film itself. A validation film gives copy 0 only. Films of test patients and films
    without a drawn box give nothing.

    Args:
        films: `films` of the development institutions (other institutions are ignored).
        reader_boxes: `reader_boxes` of the same; full-resolution film pixels.
        patient_splits: `patient_splits`; only rows of `protocol` are used.
        store: where pictures go.
        settings: copies, ranges, picture size.
        seed: the profile's seed; every copy's seed is derived from film id and copy number.
        protocol: which split to obey.
        report: gets progress lines.

    Raises:
        NoTrainingFilmsError: when the training or the validation subset would be empty.
    """
    chosen = _films_by_subset(films, reader_boxes, patient_splits, settings, protocol)
    wanted = [_copies_of(subset, settings) for subset in chosen["subset"]]
    jobs = [
        _Job(
            store.root,
            image_path,
            settings.image_px,
            copies,
            [derive_seed(seed, "detector_copy", film_id, copy) for copy in copies],
            settings.augmentation,
        )
        for film_id, image_path, copies in zip(chosen["film_id"], chosen["image_path"], wanted, strict=True)
    ]
    made = [_finished(job) for job in jobs]
    todo = [job for job, paths in zip(jobs, made, strict=True) if paths is None]
    if report is not None and len(todo) < len(jobs):
        report(f"{len(jobs) - len(todo)} films were copied before")
    fresh = iter(parallel_map(_make_copies, todo, workers=settings.workers, what="films copied", report=report))
    paths_by_film = [paths if paths is not None else next(fresh) for paths in made]
    rows: list[dict[str, Any]] = []
    for film, copies, paths in zip(chosen.iter_rows(named=True), wanted, paths_by_film, strict=True):
        for copy, path in zip(copies, paths, strict=True):
            rows.append(
                {key: film[key] for key in ("institution", "patient_id", "film_id", "subset", "boxes")}
                | {"protocol": protocol, "copy": copy, "image_path": path}
            )
    return pl.DataFrame(rows, schema=DETECTOR_COPIES).sort("protocol", "film_id", "copy")


def squeeze(pixels: np.ndarray, image_px: int) -> np.ndarray:
    """Return the picture resized to a square without keeping its aspect, as the thesis did; uint8 (side, side)."""
    import cv2

    return cv2.resize(pixels, (image_px, image_px), interpolation=cv2.INTER_AREA)


def _copies_of(subset: str, settings: DetectionSettings) -> list[int]:
    if subset == "validation":
        return [0]
    return list(range(0 if settings.keep_original or settings.copies == 0 else 1, settings.copies + 1))


def _films_by_subset(
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    patient_splits: pl.DataFrame,
    settings: DetectionSettings,
    protocol: str,
) -> pl.DataFrame:
    """Return the films to copy, with `subset` and `boxes` in shares of the film's width and height, by film id."""
    validates = pl.col("fold") == settings.validation_fold
    patients = patient_splits.filter(pl.col("protocol") == protocol, pl.col("role") == "train").select(
        "institution",
        "patient_id",
        pl.when(validates).then(pl.lit("validation")).otherwise(pl.lit("train")).alias("subset"),
    )
    box = pl.struct(
        "level",
        x0=(pl.col("x0_px") / pl.col("width_px")).clip(0, 1),
        y0=(pl.col("y0_px") / pl.col("height_px")).clip(0, 1),
        x1=(pl.col("x1_px") / pl.col("width_px")).clip(0, 1),
        y1=(pl.col("y1_px") / pl.col("height_px")).clip(0, 1),
    )
    chosen = films.join(patients, on=["institution", "patient_id"], how="inner")
    boxes = (
        reader_boxes.join(
            chosen.select("institution", "film_id", "width_px", "height_px"), on=["institution", "film_id"]
        )
        .sort("film_id", "level")
        .group_by("institution", "film_id", maintain_order=True)
        .agg(box.alias("boxes"))
    )
    chosen = chosen.join(boxes, on=["institution", "film_id"], how="inner").sort("film_id")
    for subset in ("train", "validation"):
        if not chosen["subset"].eq(subset).any():
            raise NoTrainingFilmsError(
                f"detector_copies: no {subset} film with a drawn box (protocol {protocol}, validation fold "
                f"{settings.validation_fold}); add boxes/<film>.txt files to a development institution's landing folder"
            )
    return chosen


def _record(job: _Job) -> Path:
    """Return the file that holds the paths of one film's copies once they are all made."""
    description = {
        "code": CODE_VERSION,
        "film": job.image_path,  # named by the hash of its pixels
        "image_px": job.image_px,
        "seeds": dict(zip(map(str, job.copies), job.seeds, strict=True)),
        "ranges": job.ranges.model_dump(mode="json"),
    }
    return ArtifactStore(job.root).work_folder("detector_copies", description) / "copies.json"


def _finished(job: _Job) -> list[str] | None:
    """Return the copies that an earlier run made of a film, if they are all there."""
    record = _record(job)
    if not record.is_file():
        return None
    paths: list[str] = json.loads(record.read_text())
    return paths if all((job.root / path).is_file() for path in paths) else None


def _make_copies(job: _Job) -> list[str]:
    """Store the copies of one film and return their paths."""
    store = ArtifactStore(job.root)
    small = squeeze(store.load_image(job.image_path), job.image_px)
    paths = [
        store.save_image(small if copy == 0 else augment(small, seed, job.ranges))[0]
        for copy, seed in zip(job.copies, job.seeds, strict=True)
    ]
    write_atomically(_record(job), lambda temporary: _write_json(temporary, paths))
    return paths


def _write_json(file: Path, paths: list[str]) -> None:
    file.write_text(json.dumps(paths))
