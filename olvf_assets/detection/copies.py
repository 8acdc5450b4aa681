"""Pictures that the detector learns from: films squeezed to a square, and their augmented copies.

What lives here: the split into training and validation pictures (by patient before anything is copied, or as the
thesis did), squeezing, copying. What does not: the operators (`augmentation.py`), learning (`training.py`).
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from olvf_assets.detection.augmentation import augment
from olvf_assets.detection.helpers import with_helper_boxes
from olvf_assets.detection.settings import AugmentationRanges, DetectionSettings
from olvf_assets.detection.tables import DETECTOR_COPIES
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import Protocol
from olvf_assets.storage.artifacts import ArtifactStore

# Two hospitals may hand over one film, each of a patient of its own.
FILM = ["film_id", "institution"]


class NoTrainingFilmsError(OlvfError):
    """There is no film with drawn boxes among the patients whose films the detector may learn from."""


class _Job(NamedTuple):
    """What one worker needs to make all copies of one film."""

    store: ArtifactStore
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
    helpers: pl.DataFrame | None = None,
    protocol: Protocol = "patient",
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `detector_copies`: one row per picture, stored as `image_px` x `image_px` grey PNG.

    Args:
        films: `films`; only those of patients in `patient_splits` with a drawn box are copied.
        reader_boxes: `reader_boxes` of the same; full-resolution film pixels.
        patient_splits: `patient_splits`.
        store: where pictures go.
        settings: copies, ranges, picture size, what validates.
        seed: the profile's seed; every copy's seed is derived from film id and copy number.
        helpers: `drawn_films`, for the boxes of other vertebrae.
        protocol: see `planned_copies`.
        report: gets progress lines.

    Raises:
        NoTrainingFilmsError: when the training or the validation subset would be empty.
    """
    patients = patient_splits.select("institution", "patient_id")
    chosen = drawn_films(films.join(patients, on=["institution", "patient_id"], how="semi"), reader_boxes)
    chosen = with_helper_boxes(chosen, helpers)
    planned = planned_copies(chosen, patient_splits, settings, seed, protocol)
    jobs = [
        _Job(
            store,
            image_path,
            settings.image_px,
            copies,
            [derive_seed(seed, "detector_copy", film_id, copy) for copy in copies],
            settings.augmentation,
        )
        for film_id, image_path, copies in planned.group_by(FILM, maintain_order=True)
        .agg("copy")
        .join(chosen, on=FILM, maintain_order="left")
        .select("film_id", "image_path", "copy")
        .iter_rows()
    ]
    # Kept film by film, so that a run that was killed, or a film that came, costs the missing ones only.
    is_there = store.image_check()
    made = [_finished(job, is_there) for job in jobs]
    todo = [job for job, paths in zip(jobs, made, strict=True) if paths is None]
    if report is not None and len(todo) < len(jobs):
        report(f"{len(jobs) - len(todo)} films were copied before")
    fresh = iter(parallel_map(_make_copies, todo, workers=settings.workers, what="films copied", report=report))
    paths = [path for of_film in made for path in (of_film if of_film is not None else next(fresh))]
    return (
        planned.with_columns(protocol=pl.lit(protocol), image_path=pl.Series(paths))
        .join(chosen.select(*FILM, "patient_id", "boxes", "helper_boxes", "taught"), on=FILM)
        .select(DETECTOR_COPIES.names())
        .cast(DETECTOR_COPIES)
        .sort("protocol", *FILM, "copy")
    )


def planned_copies(
    films: pl.DataFrame, patient_splits: pl.DataFrame, settings: DetectionSettings, seed: int, protocol: Protocol
) -> pl.DataFrame:
    """Return which copies there will be: columns film_id, institution, copy and subset, by film and copy.

    The subset is `train` or `validation`.

    Copies are numbered 1..n; copy 0, the film itself, is among them with `keep_original`. Protocol `patient`: a film of
    the validation fold gives copy 0 only, a film of a test patient nothing. Protocol `thesis`: every film gives all
    its copies, and `validation_share` of all copies, drawn by lot, validates.

    Args:
        films: columns institution, patient_id, film_id; what is to be copied.
        patient_splits: `patient_splits`.
        settings: copies and what validates.
        seed: the profile's seed.
        protocol: the rule of splitting.

    Raises:
        NoTrainingFilmsError: when the training or the validation subset would be empty.
    """
    copies = list(range(0 if settings.keep_original or settings.copies == 0 else 1, settings.copies + 1))
    if protocol == "patient":
        validates = pl.col("fold") == settings.validation_fold
        subset = pl.when(validates).then(pl.lit("validation")).otherwise(pl.lit("train"))
        sides = patient_splits.filter(pl.col("role") == "train").select("institution", "patient_id", subset=subset)
        of_film = pl.when(pl.col("subset") == "validation").then(pl.lit([0])).otherwise(pl.lit(copies))
        planned = films.join(sides, on=["institution", "patient_id"]).with_columns(copy=of_film).explode("copy")
    else:
        planned = films.with_columns(copy=pl.lit(copies)).explode("copy").sort(*FILM, "copy")
        lots = np.random.default_rng(derive_seed(seed, "detector_copies", protocol)).permutation(planned.height)
        validates = pl.lit(pl.Series(lots < round(settings.validation_share * planned.height)))
        planned = planned.with_columns(subset=pl.when(validates).then(pl.lit("validation")).otherwise(pl.lit("train")))
    for subset_name in ("train", "validation"):
        if not planned["subset"].eq(subset_name).any():
            raise NoTrainingFilmsError(
                f"detector_copies: no {subset_name} film with a drawn box (protocol {protocol}, validation fold "
                f"{settings.validation_fold}); add boxes/<film>.txt files to a development institution's landing folder"
            )
    return planned.select(*FILM, pl.col("copy").cast(pl.Int64), "subset").sort(*FILM, "copy")


def drawn_films(films: pl.DataFrame, reader_boxes: pl.DataFrame) -> pl.DataFrame:
    """Return the films that have a drawn box with `boxes`, in shares of the film's width and height, by film id."""
    box = pl.struct(
        "level",
        x0=(pl.col("x0_px") / pl.col("width_px")).clip(0, 1),
        y0=(pl.col("y0_px") / pl.col("height_px")).clip(0, 1),
        x1=(pl.col("x1_px") / pl.col("width_px")).clip(0, 1),
        y1=(pl.col("y1_px") / pl.col("height_px")).clip(0, 1),
    )
    boxes = (
        reader_boxes.join(
            films.select("institution", "film_id", "width_px", "height_px"), on=["institution", "film_id"]
        )
        .sort(*FILM, "level")
        .group_by("institution", "film_id", maintain_order=True)
        .agg(box.alias("boxes"))
    )
    return films.join(boxes, on=["institution", "film_id"]).sort(FILM)


def squeeze(pixels: np.ndarray, image_px: int) -> np.ndarray:
    """Return the picture resized to a square without keeping its aspect, as the thesis did; uint8 (side, side)."""
    import cv2

    return cv2.resize(pixels, (image_px, image_px), interpolation=cv2.INTER_AREA)


def _record(job: _Job) -> Path:
    """Return the file that holds the paths of one film's copies once they are all made."""
    description = {
        "code": code_digest("olvf_assets.detection.copies:_pictures"),
        "film": job.image_path,  # named by the hash of its pixels
        "image_px": job.image_px,
        "seeds": dict(zip(map(str, job.copies), job.seeds, strict=True)),
        "ranges": job.ranges.model_dump(mode="json"),
    }
    return job.store.work_folder("detector_copies", description) / "copies.json"


def _finished(job: _Job, is_there: Callable[[str], bool]) -> list[str] | None:
    """Return the copies that an earlier run made of a film, if they are all there."""
    paths: list[str] | None = job.store.read(_record(job), lambda record: json.loads(record.read_text()))
    return paths if paths is not None and all(map(is_there, paths)) else None


def _make_copies(job: _Job) -> list[str]:
    """Store the copies of one film, note them in a record and return their paths."""
    paths = [job.store.save_image(picture)[0] for picture in _pictures(job.store.load_image(job.image_path), job)]
    job.store.write_text(_record(job), json.dumps(paths))
    return paths


def _pictures(film: np.ndarray, job: _Job) -> Iterator[np.ndarray]:
    small = squeeze(film, job.image_px)
    for copy, seed in zip(job.copies, job.seeds, strict=True):
        yield small if copy == 0 else augment(small, seed, job.ranges)
