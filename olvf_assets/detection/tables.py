"""Schemas of the tables that this room makes.

What lives here: column names and types. What does not: how they are filled.
"""

import polars as pl

from olvf_assets.foundation.vocabulary import HELPERS, LEVELS

BOX_PX = ("x0_px", "y0_px", "x1_px", "y1_px")
PROBABILITIES = tuple(f"p_{level}" for level in LEVELS)
HELPER_PROBABILITIES = tuple(f"p_{name}" for name in HELPERS)

BOX = pl.Struct(
    [
        pl.Field("level", pl.String),
        *(pl.Field(name, pl.Float64) for name in ("x0", "y0", "x1", "y1")),  # shares of width and height, 0..1
    ]
)

DETECTOR_COPIES = pl.Schema(
    {
        "protocol": pl.String(),
        "institution": pl.String(),
        "patient_id": pl.String(),
        "film_id": pl.String(),
        "copy": pl.Int64(),  # 0: the film as it is
        "subset": pl.String(),  # train, validation
        "image_path": pl.String(),
        "boxes": pl.List(BOX),
        "helper_boxes": pl.List(BOX),  # of vertebrae to count by: T12, T11 (it and all above), S1
        "taught": pl.List(pl.String),  # helper classes whose presence and absence this picture teaches
    }
)

# Training pictures that a detector learnt from, as they were then: part of its row, whatever becomes of the tables.
LEARNT_FROM = pl.Schema(
    {
        "institution": pl.String(),
        "patient_id": pl.String(),
        "film_id": pl.String(),
        "copy": pl.Int64(),
        "image_path": pl.String(),
    }
)

DETECTOR_MODEL = pl.Schema(
    {
        "protocol": pl.String(),
        "model": pl.String(),
        "weights_path": pl.String(),
        "weights_sha256": pl.String(),
        "image_px": pl.Int64(),
        "epochs": pl.Int64(),
        "source_weights": pl.String(),
        "seed": pl.Int64(),
        "fingerprint": pl.String(),
        "n_train_images": pl.Int64(),
        "train_loss_by_epoch": pl.List(pl.Float64),
        "network": pl.String(),  # what the model's name stands for
        "generation": pl.Int64(),  # of detector_evolution, whose hyper-parameters trained it; null: the profile's own
        "source_sha256": pl.String(),  # of the weights that training started from; `random` without any
        "learnt_from": pl.List(pl.Struct(LEARNT_FROM)),
        "helpers": pl.List(pl.String),  # classes beside the levels, in the order of the network's outputs
    }
)

DETECTOR_EVOLUTION = pl.Schema(
    {
        "protocol": pl.String,
        "generation": pl.Int64,  # 0: the profile's own hyper-parameters
        "parent": pl.Int64,
        **dict.fromkeys(("lr0", "lrf", "momentum", "weight_decay", "warmup_epochs", "translate", "mosaic"), pl.Float64),
        "map50": pl.Float64,
        "map50_95": pl.Float64,
        "fitness": pl.Float64,  # 0.1 map50 + 0.9 map50_95, on validation pictures
        "epochs": pl.Int64,
        "weights_sha256": pl.String,
    }
)

DETECTOR_PR_CURVES = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,
        "level": pl.String,
        "iou": pl.Float64,
        "recall": pl.Float64,
        "precision": pl.Float64,
        "confidence": pl.Float64,  # least confidence that reaches the recall; null where nothing does
    }
)

DETECTOR_ERRORS = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,
        "level": pl.String,  # L1..L5, all
        "metric": pl.String,  # iou, centre_mm, width_error_mm, height_error_mm (found less drawn)
        "mean": pl.Float64,
        "sd": pl.Float64,
        "median": pl.Float64,
        "p95_absolute": pl.Float64,  # 95th percentile of the absolute value
        "n_measured": pl.Int64,
        "n_drawn": pl.Int64,
        "n_missed": pl.Int64,  # drawn, and no box of this level found on the film
        "n_elsewhere": pl.Int64,  # found less than half where it was drawn: another vertebra
    }
)

# The detector's answers on the pictures that it is measured on, in pixels of the squeezed picture.
DETECTOR_ANSWERS = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,  # validation, external
        "institution": pl.String,
        "film_id": pl.String,
        "copy": pl.Int64,  # 0: the film as it is
        "source": pl.String,  # drawn: the truth; detected: every level of every box above the metric's confidence
        "level": pl.String,
        **dict.fromkeys(BOX_PX, pl.Float64),
        "confidence": pl.Float64,  # 1 for drawn boxes
        "detector_sha256": pl.String,  # of the weights that found it
    }
)

DETECTOR_METRICS = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,  # validation, external
        "level": pl.String,  # L1..L5, all
        "metric": pl.String,  # map50, map50_95
        "source": pl.String,  # pycocotools, ultralytics
        "value": pl.Float64,
        "n_films": pl.Int64,
        "n_boxes": pl.Int64,
    }
)

# Distinct bodies found on a film, numbered by falling confidence: the raw detections.
DETECTION_CANDIDATES = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "film_id": pl.String,
        "candidate": pl.Int64,
        **dict.fromkeys((*BOX_PX, *PROBABILITIES), pl.Float64),
        **dict.fromkeys(HELPER_PROBABILITIES, pl.Float64),  # null where the detector does not know the class
        "detector_sha256": pl.String,  # of the weights that found it
    }
)

DETECTED_FILMS = pl.Schema(
    {
        "protocol": pl.String(),
        "institution": pl.String(),
        "film_id": pl.String(),
        "state": pl.String(),  # resolved, ambiguous, nothing_found
        "n_candidates": pl.Int64(),
        "n_levels": pl.Int64(),
        "n_renamed": pl.Int64(),  # candidates whose level is not the one that the network finds likeliest
        "margin": pl.Float64(),  # ln of the odds that every name is right; null when nothing rivals the labelling
        "labelling": pl.List(pl.Struct({"candidate": pl.Int64, "level": pl.String})),
        "detector_sha256": pl.String(),  # of the weights that found it
    }
)

DETECTIONS = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "film_id": pl.String,
        "level": pl.String,
        "x0_px": pl.Float64,
        "y0_px": pl.Float64,
        "x1_px": pl.Float64,
        "y1_px": pl.Float64,
        "confidence": pl.Float64,
        "detector_sha256": pl.String,  # of the weights that found it
    }
)

# A row per film that a draft was written for. Counts are null until its file comes back.
DRAFT_CORRECTIONS = pl.Schema(
    {
        "institution": pl.String(),
        "film_id": pl.String(),
        "state": pl.String(),  # of the draft: resolved, ambiguous, nothing_found; not_remembered: its record is lost
        "returned": pl.Boolean(),
        "unchanged": pl.Boolean(),  # every box came back as it went out, none was added or removed
        "box_format": pl.String(),  # that it came back in
        **dict.fromkeys(
            ("n_drafted", "n_drawn", "n_unchanged", "n_moved", "n_renamed", "n_added", "n_removed"), pl.Int64()
        ),
        "mean_iou": pl.Float64(),  # of the boxes that stayed; null without one
        "lowest_iou": pl.Float64(),
        "boxes": pl.List(
            pl.Struct({"change": pl.String, "drafted_level": pl.String, "level": pl.String, "iou": pl.Float64})
        ),
        "detector_sha256": pl.String(),  # of the weights that proposed it
    }
)
