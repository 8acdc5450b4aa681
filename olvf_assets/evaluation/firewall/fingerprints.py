"""What a picture looks like, small enough to compare every one with every other.

What lives here: thumbnails of films and crops (`picture_fingerprints`), and the search for near-duplicates among them.
What does not: what a near-duplicate means (`leakage.py`).
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import polars as pl

from olvf_assets.evaluation.tables import PICTURE_FINGERPRINTS
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers

SIDE_PX = 24
PICTURES_PER_TASK = 64
LEFT_AT_ONCE = 4096  # a block of correlations takes 32 MiB
RIGHT_AT_ONCE = 2048


def picture_fingerprints(
    films: pl.DataFrame,
    crops: pl.DataFrame,
    store: ArtifactStore,
    *,
    kept: KeptAnswers | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `picture_fingerprints`: a thumbnail, 24 x 24 grey bytes row by row, of every picture of a film or crop.

    Args:
        films: `films`.
        crops: `detected_crops`, any protocols.
        store: where the pictures lie.
        kept: the thumbnails that earlier runs made, and where those of this one are kept.
        report: gets progress lines.
    """
    pictures = pl.concat([films.select("institution", "image_path"), crops.select("institution", "image_path")])
    pictures = pictures.unique().sort("institution", "image_path")
    paths = pictures["image_path"].to_list()

    def made(places: list[int]) -> Iterator[str]:
        groups = [
            [paths[place] for place in places[start : start + PICTURES_PER_TASK]]
            for start in range(0, len(places), PICTURES_PER_TASK)
        ]
        work = partial(_thumbnails, store=store)
        for group in parallel_map(work, groups, what="groups of thumbnails", report=report):
            yield from (b64encode(thumbnail).decode() for thumbnail in group)

    code = code_digest("olvf_assets.evaluation.firewall.fingerprints:_thumbnails")
    thumbnails = [b64decode(text) for text in (kept or KeptAnswers()).answers(paths, code, made)]
    return pictures.with_columns(thumbnail=pl.Series(thumbnails, dtype=pl.Binary)).cast(PICTURE_FINGERPRINTS)


def near_duplicates(left: list[bytes], right: list[bytes], least_correlation: float) -> list[tuple[int, int, float]]:
    """Return (left index, right index, correlation) of all pairs of thumbnails that are at least so alike.

    Spearman's correlation of the grey values, so neither brightness nor contrast nor any other monotonic change of grey
    values (window, gamma) counts. Every pair is compared, by matrix products: 2 x 576 operations a pair. A thumbnail of
    a single grey value is like nothing.
    """
    if not left or not right:
        return []
    one = standardised_ranks(left)
    found = []
    for start in range(0, len(right), RIGHT_AT_ONCE):
        other = standardised_ranks(right[start : start + RIGHT_AT_ONCE])
        for begin in range(0, len(left), LEFT_AT_ONCE):
            correlation = one[begin : begin + LEFT_AT_ONCE] @ other.T
            rows, columns = np.nonzero(correlation >= least_correlation)
            found += [
                (begin + int(i), start + int(j), float(correlation[i, j])) for i, j in zip(rows, columns, strict=True)
            ]
    return found


def standardised_ranks(thumbnails: list[bytes]) -> np.ndarray:
    """Return float32 (n, 576): the ranks of the grey values, mean 0 and length 1 (length 0 if all are equal)."""
    from scipy.stats import rankdata

    parts = []
    for start in range(0, len(thumbnails), LEFT_AT_ONCE):
        few = thumbnails[start : start + LEFT_AT_ONCE]
        ranks = rankdata(np.frombuffer(b"".join(few), np.uint8).reshape(len(few), -1), axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        parts.append((ranks / np.maximum(np.linalg.norm(ranks, axis=1, keepdims=True), 1e-9)).astype(np.float32))
    return np.concatenate(parts)


def _thumbnails(paths: list[str], store: ArtifactStore) -> list[bytes]:
    import cv2

    size = (SIDE_PX, SIDE_PX)
    return [cv2.resize(store.load_image(path), size, interpolation=cv2.INTER_AREA).tobytes() for path in paths]
