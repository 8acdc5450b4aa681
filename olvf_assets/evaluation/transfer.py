"""How a detector does on films of a place that it has not learnt from: bodies found, levels told, told wrongly.

What lives here: the verdict on each film (`film_verdicts`) and the shares with intervals over films
(`transfer_measures`). What does not: average precision (`film_precision.py`), pictures (`reporting.transfer_sheets`),
reading tables (`commands.measure_transfer`).

A body counts as found whatever it is called. A name is right if its box lies on the drawn body of that name, wrong if
it lies on another drawn body, or on none although the body of that name was drawn.
"""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from olvf_assets.detection.tables import BOX_PX
from olvf_assets.evaluation.film_precision import average_precision
from olvf_assets.evaluation.intervals import patient_weights, percentile_interval, share
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.foundation.errors import StaleError
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS, UNNAMED_BODY

FILM = ["institution", "film_id"]
IOUS = (0.3, 0.5)
NAME_IOU = 0.3  # from which a named box lies on a drawn body
BODIES_FOUND = ("bodies_found_iou30", "bodies_found_iou50")
FOUR = 4  # levels that must be drawn on a film for its names to be judged

TRANSFER_FILMS = pl.Schema(
    {
        "protocol": pl.String(),
        "institution": pl.String(),
        "collection": pl.String(),
        "film_id": pl.String(),
        # right, incomplete, wrong; ambiguous, nothing_found; not_judged: resolved, and too little drawn
        "verdict": pl.String(),
        "state": pl.String(),  # as in detected_films
        "margin": pl.Float64(),
        "n_candidates": pl.Int64(),
        "n_bodies": pl.Int64(),  # drawn: L1 to L5, and unnamed ones
        "n_found_iou30": pl.Int64(),
        "n_found_iou50": pl.Int64(),
        "n_levels_drawn": pl.Int64(),
        "n_right": pl.Int64(),  # of the likeliest naming, also where it is given up as ambiguous
        "n_wrong": pl.Int64(),
        "n_slid": pl.Int64(),  # of the wrong ones, those that lie on another drawn body
        "n_missing": pl.Int64(),  # drawn levels that no box is named
        "named": pl.List(
            pl.Struct({"level": pl.String, **dict.fromkeys(BOX_PX, pl.Float64), "verdict": pl.String})
        ),  # verdict: right; slid, on another drawn body; astray, on none; unknown, where nobody drew
    }
)

TRANSFER_MEASURES = pl.Schema(
    {
        "protocol": pl.String,
        "collection": pl.String,
        "measure": pl.String,
        "value": pl.Float64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "ci_method": pl.String,  # film_bootstrap, or exact where all films are alike; null for a single film
        "n_films": pl.Int64,  # on which it is measured
        "n_units": pl.Int64,  # films, or bodies where it counts bodies
    }
)


class StaleTransferError(StaleError):
    """The tables that the measure is made of do not belong together."""


class Tables(NamedTuple):
    """Tables of the study, of the hospitals that are measured: `films` says which films."""

    films: pl.DataFrame
    reader_boxes: pl.DataFrame
    drawn_films: pl.DataFrame
    detection_candidates: pl.DataFrame
    detected_films: pl.DataFrame


def film_verdicts(tables: Tables, by: str = "institution") -> pl.DataFrame:
    """Return one row, columns `TRANSFER_FILMS`, per protocol and film that the detector has searched.

    Args:
        tables: of the study.
        by: the column of `films` that names a film's collection.

    Raises:
        StaleTransferError: candidates and labellings are of different detectors.
    """
    drawn = _drawn_by_film(tables)
    candidates = tables.detection_candidates.partition_by(["protocol", *FILM], as_dict=True)
    about = tables.films.select(
        *FILM, "width_px", "height_px", collection=pl.col(by).cast(pl.String).fill_null("unknown")
    )
    rows = []
    for row in tables.detected_films.join(about, on=FILM).sort("protocol", *FILM).iter_rows(named=True):
        own = candidates.get((row["protocol"], row["institution"], row["film_id"]))
        if own is None and row["n_candidates"]:
            raise StaleTransferError(STALE)
        rows.append(_verdict(row, own, drawn.get((row["institution"], row["film_id"]), [])))
    return pl.DataFrame(rows, schema=TRANSFER_FILMS)


STALE = "detected_films and detection_candidates are not of one detector; run the study once more, then measure"


def _drawn_by_film(tables: Tables) -> dict[tuple[str, str], list[tuple[str, tuple[float, ...]]]]:
    """Return what is drawn on each film: (level or `unnamed`, corners in pixels of the film)."""
    named = tables.reader_boxes.select(*FILM, "level", *BOX_PX)
    helpers = (
        tables.drawn_films.select(*FILM, "helper_boxes").explode("helper_boxes").drop_nulls().unnest("helper_boxes")
    )
    unnamed = helpers.filter(vertebra=UNNAMED_BODY).select(*FILM, level="vertebra", **{name: name for name in BOX_PX})
    found: dict[tuple[str, str], list[tuple[str, tuple[float, ...]]]] = {}
    for institution, film_id, level, *corners in pl.concat([named, unnamed]).sort(*FILM, "y0_px").iter_rows():
        found.setdefault((institution, film_id), []).append((level, tuple(corners)))
    return found


def _verdict(
    film: dict[str, Any], candidates: pl.DataFrame | None, drawn: list[tuple[str, tuple[float, ...]]]
) -> dict[str, Any]:
    boxes: dict[int, list[float]] = {}
    if candidates is not None:
        if set(candidates["detector_sha256"]) != {film["detector_sha256"]}:
            raise StaleTransferError(STALE)
        boxes = {number: corners for number, *corners in candidates.select("candidate", *BOX_PX).iter_rows()}
    truth = np.array([corners for _, corners in drawn], np.float64).reshape(-1, 4)
    overlap = overlaps(_within(np.array(list(boxes.values()), np.float64).reshape(-1, 4), film), truth)
    levels = [level for level, _ in drawn]
    named = []
    for each in film["labelling"]:
        if each["candidate"] not in boxes:
            raise StaleTransferError(STALE)
        place = list(boxes).index(each["candidate"])
        corners = dict(zip(BOX_PX, boxes[each["candidate"]], strict=True))
        named.append(
            {"level": each["level"], "verdict": _name_verdict(each["level"], overlap[place], levels)} | corners
        )
    counts = {verdict: sum(each["verdict"] == verdict for each in named) for verdict in ("right", "slid", "astray")}
    drawn_levels = [level for level in levels if level in LEVELS]
    missing = len(set(drawn_levels) - {each["level"] for each in named})
    return {
        **{name: film[name] for name in ("protocol", *FILM, "collection", "state", "margin", "n_candidates")},
        "verdict": _film_verdict(film["state"], counts, missing, len(drawn_levels)),
        "n_bodies": len(drawn),
        "n_found_iou30": _found(overlap, IOUS[0]),
        "n_found_iou50": _found(overlap, IOUS[1]),
        "n_levels_drawn": len(drawn_levels),
        "n_right": counts["right"],
        "n_wrong": counts["slid"] + counts["astray"],
        "n_slid": counts["slid"],
        "n_missing": missing,
        "named": named,
    }


def _film_verdict(state: str, counts: dict[str, int], missing: int, n_drawn: int) -> str:
    if state != "resolved":
        return state
    if n_drawn < FOUR:
        return "not_judged"
    if counts["slid"] + counts["astray"]:
        return "wrong"
    return "incomplete" if missing else "right"


def _name_verdict(level: str, overlap: np.ndarray, levels: list[str]) -> str:
    """Return whether a box named `level` lies on the drawn body of that name, given its overlap with all drawn ones."""
    on = int(overlap.argmax()) if overlap.size else -1
    if on >= 0 and overlap[on] >= NAME_IOU:
        return "right" if levels[on] == level else "unknown" if levels[on] == UNNAMED_BODY else "slid"
    return "astray" if level in levels else "unknown"


def _found(overlap: np.ndarray, iou: float) -> int:
    """Return how many drawn bodies have a candidate of their own that overlaps them so far."""
    from scipy.optimize import linear_sum_assignment

    if not overlap.size:
        return 0
    enough = overlap >= iou
    rows, columns = linear_sum_assignment(enough.astype(np.float64), maximize=True)
    return int(enough[rows, columns].sum())


def _within(boxes: np.ndarray, film: dict[str, Any]) -> np.ndarray:
    return np.clip(boxes, 0, [film["width_px"], film["height_px"]] * 2)


def overlaps(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return float64 (n, m): intersection over union of boxes (n, 4) and (m, 4), x0 y0 x1 y1; 0 of empty ones."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(each[:, 2:] - each[:, :2], 0, None).prod(axis=1) for each in (left, right)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def transfer_measures(
    verdicts: pl.DataFrame, detector_answers: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return the measures, columns `TRANSFER_MEASURES`, by protocol and collection, and of `all` if there are several.

    `bodies_found_iou30` and `_iou50` are shares of drawn bodies. `films_resolved`, `films_ambiguous` and
    `films_nothing_found` are shares of all films; `films_four_found` of films with four bodies drawn. On films with
    four or five levels drawn: `films_all_right` (resolved, every drawn level named and none wrongly),
    `films_four_right` (resolved, four or five named rightly, whatever the fifth), `films_wrong` (resolved with at least
    one wrong name), `films_slid` (resolved, a name on another drawn body), `given_up_though_right` (ambiguous, its
    likeliest naming right throughout). Of the resolved among them: `wrong_of_resolved`, and what the margins say it
    should be, `wrong_as_margins_say`. `map50_L1` to `map50_all` are COCO's average precision at IoU 0.5. Intervals are
    percentiles over resampled films; of a share of films that is 0 or 1, which no resample changes, that of Clopper and
    Pearson.

    Args:
        verdicts: what `film_verdicts` returns.
        detector_answers: `detector_answers`; of films that are not in it no mAP is measured.
        settings: draws, confidence, min_defined_share.
        seed: the profile's.
    """
    rows: list[tuple[Any, ...]] = []
    parts = [(key, part) for key, part in verdicts.group_by("protocol", "collection", maintain_order=True)]
    for (protocol,), part in verdicts.group_by("protocol", maintain_order=True):
        if part["collection"].n_unique() > 1:
            parts.append(((protocol, "all"), part))
    for (protocol, collection), part in parts:
        answers = detector_answers.filter(pl.col("protocol") == protocol, pl.col("copy") == 0)
        answers = answers.join(part.select(FILM), on=FILM, how="semi")
        draws_seed = derive_seed(seed, "transfer", str(protocol), str(collection))
        for name, figure in _figures(part, answers, settings.draws, draws_seed).items():
            low, high, method = _interval(figure, settings)
            rows.append((protocol, collection, name, figure.value, low, high, method, figure.n_films, figure.n_units))
    return pl.DataFrame(rows, schema=TRANSFER_MEASURES, orient="row")


class _Figure(NamedTuple):
    value: float
    drawn: np.ndarray  # (draws,)
    n_films: int
    n_units: int
    of_films: bool = False  # a share of films


def _interval(figure: _Figure, settings: EvaluationSettings) -> tuple[float, float, str | None]:
    from scipy.stats import beta

    if figure.of_films and figure.value in (0.0, 1.0) and figure.n_films:
        bound = float(beta.ppf((1 - settings.confidence) / 2, figure.n_films, 1))
        return (0.0, 1 - bound, "exact") if figure.value == 0.0 else (bound, 1.0, "exact")
    if figure.n_films < 2:
        return float("nan"), float("nan"), None
    low, high = percentile_interval(figure.drawn[None], settings.confidence, settings.min_defined_share, axis=1)
    return float(low[0]), float(high[0]), "film_bootstrap"


def _figures(films: pl.DataFrame, answers: pl.DataFrame, draws: int, seed: int) -> dict[str, _Figure]:
    weights = np.vstack([np.ones(len(films)), patient_weights(len(films), draws, seed)])
    figures = {}
    for name, (part, whole) in _shares(films).items():
        ratio = share(weights @ part, weights @ whole)
        n_films = int((whole > 0).sum())
        of_films = name not in (*BODIES_FOUND, "wrong_as_margins_say")
        figures[name] = _Figure(float(ratio[0]), ratio[1:], n_films, int(whole.sum()), of_films)
    for level, (precision, n_films, n_boxes) in _precisions(films, answers, weights).items():
        figures[f"map50_{level}"] = _Figure(float(precision[0]), precision[1:], n_films, n_boxes)
    return figures


def _shares(films: pl.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return by measure, for each film, what counts and what it is a share of."""
    bodies, levels, right, wrong, slid, missing = (
        films[name].to_numpy() for name in ("n_bodies", "n_levels_drawn", "n_right", "n_wrong", "n_slid", "n_missing")
    )
    state, found = films["state"].to_numpy(), films["n_found_iou50"].to_numpy()
    every, judged = np.ones(len(films)), levels >= FOUR
    resolved = (state == "resolved") & judged
    clean = (wrong == 0) & (missing == 0)
    odds = films["margin"].fill_null(np.inf).clip(-500, 500).to_numpy()
    said_wrong = 1 / (1 + np.exp(odds))
    shares = {
        "bodies_found_iou30": (films["n_found_iou30"].to_numpy(), bodies),
        "bodies_found_iou50": (found, bodies),
        "films_four_found": ((found >= FOUR) & (bodies >= FOUR), bodies >= FOUR),
        "films_resolved": (state == "resolved", every),
        "films_ambiguous": (state == "ambiguous", every),
        "films_nothing_found": (state == "nothing_found", every),
        "films_all_right": (resolved & clean, judged),
        "films_four_right": (resolved & (right >= FOUR), judged),
        "films_wrong": (resolved & (wrong > 0), judged),
        "films_slid": (resolved & (slid > 0), judged),
        "given_up_though_right": ((state == "ambiguous") & judged & clean, judged),
        "wrong_of_resolved": (resolved & (wrong > 0), resolved),
        "wrong_as_margins_say": (resolved * said_wrong, resolved),
    }
    return {name: (part.astype(np.float64), whole.astype(np.float64)) for name, (part, whole) in shares.items()}


def _precisions(
    films: pl.DataFrame, answers: pl.DataFrame, weights: np.ndarray
) -> dict[str, tuple[np.ndarray, int, int]]:
    """Return, by level and for `all`, the average precision under each row of weights, and films and boxes."""
    place = {key: number for number, key in enumerate(films.select(FILM).iter_rows())}
    numbered = answers.with_columns(
        film=pl.struct(FILM).map_elements(lambda key: place[key["institution"], key["film_id"]], return_dtype=pl.Int64)
    )
    measured = np.zeros(len(films), bool)
    measured[numbered.filter(source="drawn")["film"].to_numpy()] = True
    found: dict[str, tuple[np.ndarray, int, int]] = {}
    for level in LEVELS:
        own = numbered.filter(pl.col("level") == level, pl.Series(measured[numbered["film"].to_numpy()]))
        drawn = own.filter(source="drawn")
        if len(drawn):
            precision = average_precision(own.filter(source="detected"), drawn, weights)
            found[level] = (precision, int(measured.sum()), len(drawn))
    if found:
        mean = np.mean([precision for precision, _, _ in found.values()], axis=0)
        found["all"] = (mean, int(measured.sum()), sum(n for _, _, n in found.values()))
    return found
