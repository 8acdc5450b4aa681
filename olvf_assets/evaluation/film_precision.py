"""Average precision of a detector's boxes in every resample of films.

What lives here: COCO's average precision at IoU 0.5 of one level, each film counting as often as it was drawn. What
does not: COCOeval itself on the films as they are (`detection.metrics`), with which this agrees.
"""

import numpy as np
import polars as pl

from olvf_assets.detection.tables import BOX_PX
from olvf_assets.evaluation.intervals import share

LEAST_IOU = 0.5
RECALLS = np.linspace(0, 1, 101)


def average_precision(detected: pl.DataFrame, drawn: pl.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Return COCO's average precision at IoU 0.5 of one level, each film counting as often as a row of weights says.

    With one drawn box of a level a film, COCO's matching is this: of the film's boxes, by falling confidence, the first
    that overlaps enough is right and all others are wrong. Between two right boxes only how many wrong ones of which
    film come matters, so that every draw is a matrix product.

    Args:
        detected: columns film (number), BOX_PX, confidence.
        drawn: columns film, BOX_PX; at most one a film.
        weights: float64 (draws, films).

    Returns:
        float64 (draws,), NaN where no film with a drawn box was drawn.
    """
    truth = dict(zip(drawn["film"], drawn.select(BOX_PX).iter_rows(), strict=True))
    ranked = detected.sort("confidence", "film", descending=[True, False], maintain_order=True)
    place, wrong, right = ranked["film"].to_numpy(), [], []
    taken: set[int] = set()
    enough = _enough(ranked, truth)
    for film, fits in zip(place.tolist(), enough.tolist(), strict=True):
        if fits and film not in taken:
            taken.add(film)
            right.append(film)
        else:
            wrong.append((len(right), film))
    positives = weights[:, list(truth)].sum(axis=1)
    between = np.zeros((len(right) + 1, weights.shape[1]))
    if wrong:
        np.add.at(between, tuple(np.array(wrong).T), 1.0)
    true = np.cumsum(weights[:, right], axis=1)
    false = weights @ np.cumsum(between[:-1], axis=0).T
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = share(true, positives[:, None])
    padded = np.hstack([envelope, np.zeros((len(weights), 1))])
    means = [line[np.searchsorted(each, RECALLS)].mean() for line, each in zip(padded, recall, strict=True)]
    return np.where(positives > 0, means, np.nan)


def _enough(ranked: pl.DataFrame, truth: dict[int, tuple[float, ...]]) -> np.ndarray:
    boxes = ranked.select(BOX_PX).to_numpy().astype(np.float64)
    nowhere = (0.0, 0.0, 0.0, 0.0)
    drawn = np.array([truth.get(film, nowhere) for film in ranked["film"]], np.float64).reshape(-1, 4)
    size = np.clip(np.minimum(boxes[:, 2:], drawn[:, 2:]) - np.maximum(boxes[:, :2], drawn[:, :2]), 0, None).prod(
        axis=1
    )
    union = sum((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, drawn)) - size
    return size >= LEAST_IOU * np.maximum(union, 1e-9)
