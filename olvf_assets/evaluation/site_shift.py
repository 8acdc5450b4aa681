"""Is a site like the development hospitals? Their films, patients and what the networks say of them, side by side.

What lives here: tables `site_shift` and `far_films`. What does not: how good the networks are there (`metrics.py`,
`calibration.py`), what the figures are drawn from (`site_features.py`).

The population stability index (PSI) of two distributions p, q over the same bins is the sum of (p - q) ln(p / q); below
0.1 is commonly called no shift, from 0.25 on a large one. Of few patients it is never 0, so it is held against what
chance alone gives: patients dealt anew to both sides. Patients, not films or vertebrae, are drawn and dealt.
"""

from functools import lru_cache

import numpy as np
import polars as pl

from olvf_assets.evaluation.firewall.fingerprints import standardised_ranks
from olvf_assets.evaluation.intervals import patient_weights, percentile_interval
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import FAR_FILMS, SITE_SHIFT
from olvf_assets.foundation.seeds import derive_seed

BINS = 10
HALF = 0.5  # added to each count: an empty bin has no logarithm
SHIFT, LARGE_SHIFT = 0.1, 0.25
SIGNIFICANCE = 0.05
RARE = 0.01  # a film is far if fewer development films than this share are as unlike all others
PATIENT = ["institution", "patient_id"]


def site_shift(features: pl.DataFrame, roles: dict[str, str], settings: EvaluationSettings, seed: int) -> pl.DataFrame:
    """Return table `site_shift`: for each external institution and feature how far it is from development.

    Args:
        features: as `site_features.site_features` returns them.
        roles: of each institution: development or external.
        settings: draws, confidence, min_defined_share.
        seed: the profile's seed.
    """
    ours = features.filter(pl.col("institution").replace_strict(roles, default=None) == "development")
    sites = sorted(key for key, role in roles.items() if role == "external")
    frames = [SITE_SHIFT.to_frame()]
    for site in sites:
        theirs = features.filter(institution=site)
        rows = []
        for protocol, feature, unit in ours.select("protocol", "feature", "unit").unique().sort(pl.all()).iter_rows():
            same = pl.col("protocol").eq_missing(protocol) & (pl.col("feature") == feature)
            here, there = theirs.filter(same), ours.filter(same)
            if len(here) and len(there):
                about = {"protocol": protocol, "institution": site, "feature": feature, "unit": unit}
                rows.append(about | _compared(here, there, settings, derive_seed(seed, "site_shift", site)))
        frames.append(_judged(rows))
    return pl.concat(frames)


def far_films(films: pl.DataFrame, thumbnails: pl.DataFrame, roles: dict[str, str]) -> pl.DataFrame:
    """Return table `far_films`: films of external institutions that are like no development film, the farthest first.

    How alike two films are is the rank correlation of their thumbnails. A film is far if its nearest development film
    is less alike than all but 1 % of the development films find theirs among other patients.

    Args:
        films: `films`.
        thumbnails: `picture_fingerprints`.
        roles: of each institution.
    """
    pictures = films.join(thumbnails, on=["institution", "image_path"]).sort("institution", "film_id")
    role = pl.col("institution").replace_strict(roles, default=None)
    ours, theirs = pictures.filter(role == "development"), pictures.filter(role == "external")
    if ours["patient_id"].n_unique() < 2 or theirs.is_empty():
        return FAR_FILMS.to_frame()
    seen = standardised_ranks(ours["thumbnail"].to_list())
    among = seen @ seen.T
    patients = ours.select(pl.struct(PATIENT).rank("dense")).to_series().to_numpy()
    among[patients[:, None] == patients[None, :]] = -np.inf
    limit = float(np.quantile(among.max(axis=1), RARE))
    alike = standardised_ranks(theirs["thumbnail"].to_list()) @ seen.T
    nearest = alike.argmax(axis=1)
    found = theirs.with_columns(
        pl.Series("correlation", alike.max(axis=1).astype(np.float64)),
        pl.Series("nearest_image_path", ours["image_path"].to_numpy()[nearest].tolist(), pl.String),
        correlation_limit=pl.lit(limit),
    ).filter(pl.col("correlation") < pl.col("correlation_limit"))
    return found.select(FAR_FILMS.names()).cast(FAR_FILMS).sort("institution", "correlation", "film_id")


def stability_index(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Return the PSI of counts (..., bins) of two sides: float64 (...)."""
    p, q = ((n + HALF) / (n + HALF).sum(axis=-1, keepdims=True) for n in (theirs, ours))
    index: np.ndarray = ((p - q) * np.log(p / q)).sum(axis=-1)
    return index


def _compared(here: pl.DataFrame, there: pl.DataFrame, settings: EvaluationSettings, seed: int) -> dict[str, object]:
    numeric = here["category"].null_count() == len(here)
    both = pl.concat([here, there])
    bins = _numeric_bins(both["value"], there["value"]) if numeric else _codes(both["category"])
    theirs, ours = _counts(both, bins)
    value = stability_index(theirs.sum(axis=0), ours.sum(axis=0))
    drawn = stability_index(
        _weights(len(theirs), settings.draws, derive_seed(seed, "site")) @ theirs,
        _weights(len(ours), settings.draws, derive_seed(seed, "development")) @ ours,
    )
    low, high = percentile_interval(drawn, settings.confidence, settings.min_defined_share, axis=0)
    dealt = _dealt(np.concatenate([theirs, ours]), len(theirs), settings.draws, derive_seed(seed, "dealt"))
    p, q = theirs.sum(axis=0) / theirs.sum(), ours.sum(axis=0) / ours.sum()
    said = _medians(here["value"], there["value"]) if numeric else _largest_change(both["category"], bins, p - q, p, q)
    few = min(len(theirs), len(ours)) < 2
    return {
        "n_site": len(here),
        "n_development": len(there),
        "n_patients": len(theirs),
        "psi": float(value),
        "ci_low": None if few else float(low),
        "ci_high": None if few else float(high),
        "psi_by_chance": float(np.quantile(dealt, 1 - SIGNIFICANCE)),
        "p_value": float((1 + (dealt >= value).sum()) / (1 + len(dealt))),
        "distance": float(np.abs(np.cumsum(p - q)).max() if numeric else np.abs(p - q).sum() / 2),
        "sentence": said,
    }


def _judged(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Return the rows of a site with Holm's p values, a verdict and the whole sentence."""
    table = pl.DataFrame(rows, schema={name: dtype for name, dtype in SITE_SHIFT.items() if name not in _JUDGED})
    if table.is_empty():
        return SITE_SHIFT.to_frame()
    ordered = table.sort("p_value", "feature")
    steps = pl.int_range(len(table), 0, -1)
    judged = ordered.with_columns(p_holm=(pl.col("p_value") * steps).cum_max().clip(upper_bound=1.0)).with_columns(
        verdict=pl.when((pl.col("p_holm") >= SIGNIFICANCE) | (pl.col("psi") < SHIFT))
        .then(pl.lit("alike"))
        .when(pl.col("ci_low").fill_null(0) >= LARGE_SHIFT)
        .then(pl.lit("far"))
        .otherwise(pl.lit("shifted"))
    )
    sentence = pl.format("{}: {} (PSI {}, {})", pl.col("feature").str.replace_all("_", " "), "sentence",
                         pl.col("psi").round(2), "verdict")  # fmt: skip
    return (
        judged.with_columns(sentence.alias("sentence"))
        .select(SITE_SHIFT.names())
        .cast(SITE_SHIFT)
        .sort("protocol", "feature")
    )


_JUDGED = ("p_holm", "verdict")


def _numeric_bins(values: pl.Series, ours: pl.Series) -> np.ndarray:
    """Return the bin of each value: deciles of the development values, and what lies below or above all of them."""
    deciles = np.quantile(ours.to_numpy(), np.linspace(0, 1, BINS + 1))
    edges = np.unique([*deciles[:-1], np.nextafter(deciles[-1], np.inf)])
    return np.searchsorted(edges, values.to_numpy(), side="right")


def _codes(categories: pl.Series) -> np.ndarray:
    return np.unique(categories.to_numpy().astype(str), return_inverse=True)[1]


def _counts(both: pl.DataFrame, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each patient falls into each bin: float64 (patients, bins), first of the site, then of ours."""
    site = both["institution"][0]
    patients = both.select(pl.struct(PATIENT).rank("dense") - 1).to_series().to_numpy().astype(np.int64)
    counts = np.zeros((patients.max() + 1, bins.max() + 1))
    np.add.at(counts, (patients, bins), 1)
    of_site = np.zeros(len(counts), bool)
    of_site[patients[(both["institution"] == site).to_numpy()]] = True
    return counts[of_site], counts[~of_site]


def _dealt(counts: np.ndarray, n_site: int, deals: int, seed: int) -> np.ndarray:
    """Return the PSI of patients dealt at random to a site of `n_site` and to the others, float64 (deals,)."""
    chosen = _deals(len(counts), n_site, deals, seed)
    theirs = chosen @ counts
    return stability_index(theirs, counts.sum(axis=0) - theirs)


@lru_cache(maxsize=16)
def _deals(n_patients: int, n_site: int, deals: int, seed: int) -> np.ndarray:
    """Return who is dealt to the site, 1 or 0: float64 (deals, patients). A hospital's features share most deals."""
    first = np.zeros((deals, n_patients))
    first[:, :n_site] = 1
    return np.random.default_rng(seed).permuted(first, axis=1)


_weights = lru_cache(maxsize=16)(patient_weights)  # likewise, the draws of patients


def _medians(here: pl.Series, there: pl.Series) -> str:
    own, other = (float(np.median(each.to_numpy())) for each in (here, there))
    return f"median {own:.3g} here, {other:.3g} at development hospitals"


def _largest_change(categories: pl.Series, bins: np.ndarray, change: np.ndarray, p: np.ndarray, q: np.ndarray) -> str:
    most = int(np.abs(change).argmax())
    name = categories[int((bins == most).argmax())]
    return f"{name} {p[most]:.0%} here, {q[most]:.0%} at development hospitals"
