"""From candidate bodies to the five levels of a film, or to the admission that they cannot be told.

What lives here: `detected_films` and `detections`. What does not: the labelling itself (`ordering.py`), the network
(`prediction.py`).
"""

import math
from typing import Any

import polars as pl

from olvf_assets.detection.ordering import order_levels
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import BOX_PX, DETECTED_FILMS, DETECTIONS, PROBABILITIES
from olvf_assets.foundation.vocabulary import HELPERS, LEVELS

FILM = ["protocol", "institution", "film_id"]


def detected_films(
    detection_candidates: pl.DataFrame, films: pl.DataFrame, detector_model: pl.DataFrame, settings: DetectionSettings
) -> pl.DataFrame:
    """Return `detected_films`: one row per protocol and film, with the levels found or why there are none.

    A film is `resolved`; or `ambiguous`, when the odds that all its names are right are below `settings.least_margin`,
    or fewer than `settings.fewest_levels` have a name: then none of its levels is used; or `nothing_found`.

    Args:
        detection_candidates: `detection_candidates` of the same films.
        films: `films`.
        detector_model: `detector_model`: the protocols that have a detector, and its weights.
        settings: candidate_confidence, least_margin, fewest_levels.
    """
    detectors = detector_model.select("protocol", detector_sha256="weights_sha256")
    wanted = films.select("institution", "film_id").join(detectors, how="cross")
    candidates = detection_candidates.sort(*FILM, "candidate")
    by_film = candidates.partition_by(FILM, as_dict=True)
    rows = [
        {**_film(tuple(key), by_film.get(tuple(key)), settings), "detector_sha256": weights}
        for *key, weights in wanted.select(*FILM, "detector_sha256").sort(FILM).iter_rows()
    ]
    return pl.DataFrame(rows, schema=DETECTED_FILMS)


def detections(detection_candidates: pl.DataFrame, detected_films: pl.DataFrame, films: pl.DataFrame) -> pl.DataFrame:
    """Return `detections`: at most one box per level of every resolved film, from L1 to L5, clipped to the film.

    `confidence` is the network's own probability of the level that the box was given.

    Args:
        detection_candidates: `detection_candidates`.
        detected_films: `detected_films` of these.
        films: `films`, for their sizes.
    """
    confidence = pl.coalesce(pl.when(pl.col("level") == each).then(pl.col(f"p_{each}")) for each in LEVELS)
    return (
        detected_films.filter(state="resolved")
        .select(*FILM, "labelling", "detector_sha256")
        .explode("labelling")
        .unnest("labelling")
        .join(detection_candidates.drop("detector_sha256"), on=[*FILM, "candidate"])
        .join(films.select("institution", "film_id", "width_px", "height_px"), on=["institution", "film_id"])
        .with_columns(
            pl.max_horizontal("x0_px", 0.0),
            pl.max_horizontal("y0_px", 0.0),
            pl.min_horizontal("x1_px", "width_px"),
            pl.min_horizontal("y1_px", "height_px"),
            confidence=confidence,
        )
        .select(DETECTIONS.names())
        .cast(DETECTIONS)
        .sort(*FILM, "level")
    )


def _film(key: tuple[Any, ...], candidates: pl.DataFrame | None, settings: DetectionSettings) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(FILM, key, strict=True))
    if candidates is None:
        return row | {"state": "nothing_found", "n_candidates": 0, "n_levels": 0, "n_renamed": 0, "labelling": []}
    helpers = [name for name in HELPERS if candidates[f"p_{name}"].null_count() == 0]
    probabilities = candidates.select(*PROBABILITIES, *(f"p_{name}" for name in helpers)).to_numpy()
    boxes_px = candidates.select(BOX_PX).to_numpy()
    chain, margin = order_levels(boxes_px, probabilities, settings.candidate_confidence, helpers)
    likeliest = probabilities.argmax(axis=1)
    unsure = margin < math.log(settings.least_margin) or 0 < len(chain) < settings.fewest_levels
    state = "ambiguous" if unsure else "resolved" if chain else "nothing_found"
    return row | {
        "state": state,
        "n_candidates": candidates.height,
        "n_levels": len(chain),
        "n_renamed": sum(int(likeliest[candidate] != level) for candidate, level in chain),
        "margin": margin if math.isfinite(margin) else None,
        "labelling": [
            {"candidate": candidates["candidate"][candidate], "level": LEVELS[level]} for candidate, level in chain
        ],
    }
