"""The trained detector asked about films.

What lives here: loading the network, reading and squeezing films beside it, its raw answers in film pixels, and the
two readings of them: boxes per level for the metric, candidate bodies (`detection_candidates`) for the ordering. What
does not: deciding which candidate is which level (`resolution.py`), measuring (`metrics.py`).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from olvf_assets.detection.copies import squeeze
from olvf_assets.detection.provenance import verified_weights
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import DETECTION_CANDIDATES
from olvf_assets.detection.training import choose_device
from olvf_assets.detection.ultralytics_home import prepare_ultralytics
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.engine import NETWORK, in_batches
from olvf_assets.foundation.parallel import available_cores, reported
from olvf_assets.foundation.vocabulary import HELPERS, LEVELS
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers

if TYPE_CHECKING:
    import torch

MOST_BOXES = 300  # per film, as in ultralytics' validation
FILM = ["film_id", "institution"]
FILMS_OF_A_WORKER = 32  # at a time: loading the network takes as long as searching a few
PATIENCE_S = 60.0  # ultralytics gives up on a slow film after 50 ms, which would make results depend on the machine


class FilmBoxes(NamedTuple):
    """Boxes found on one film.

    boxes_px: float64 (n, 4), x0 y0 x1 y1 in film pixels. probabilities: float64 (n, 5 + helpers), one per level and
    helper class, each 0..1. levels: int64 (n,), index of the level that the box is for; -1 where it is kept open.
    """

    film_id: str
    boxes_px: np.ndarray
    probabilities: np.ndarray
    levels: np.ndarray


def detection_candidates(
    films: pl.DataFrame,
    detector_model: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    *,
    kept: KeptAnswers | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `detection_candidates`: distinct bodies found on every film, with the probabilities of all five levels.

    Args:
        films: `films` of any institutions.
        detector_model: `detector_model`, one row.
        store: where films and weights lie.
        settings: candidate thresholds, device.
        kept: what earlier runs found on films, and where it is kept that this one does.
        report: gets progress lines.

    Raises:
        StaleDetectorError: the weights are not those that the table names.
    """
    # Two hospitals may have one film: each is searched under a number.
    name_of = {f"{number:08d}": name for number, name in enumerate(films.select(FILM).sort(FILM).iter_rows())}
    numbered = films.sort(FILM).with_columns(film_id=pl.Series(list(name_of), dtype=pl.String))
    known = {name: at for at, name in enumerate([*LEVELS, *detector_model["helpers"].item()])}
    rows = [
        (
            *(protocol, name_of[found.film_id][1], name_of[found.film_id][0], number, *box),
            *(probabilities[known[name]] if name in known else None for name in (*LEVELS, *HELPERS)),
            weights,
        )
        for protocol, weights in detector_model.select("protocol", "weights_sha256").iter_rows()
        for found in predict_films(
            numbered, detector_model, store, settings, candidate_bodies, kept=kept, report=report
        )
        for number, (box, probabilities) in enumerate(
            zip(found.boxes_px.tolist(), found.probabilities.tolist(), strict=True)
        )
    ]
    table = pl.DataFrame(rows, schema=DETECTION_CANDIDATES, orient="row")
    return table.sort("protocol", "institution", "film_id", "candidate")


def predict_films(
    films: pl.DataFrame,
    detector_model: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    read: "Callable[[torch.Tensor, DetectionSettings], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]",
    *,
    kept: KeptAnswers | None = None,
    report: Callable[[str], None] | None = None,
) -> Iterator[FilmBoxes]:
    """Yield what `read` (`level_boxes` or `candidate_bodies`) makes of the network's answer, per film by film id.

    Each film is searched by itself, so that what is found on it does not hang on the films beside it: a batch of
    another size has other sums in the last bits. Several are searched at once, each by one thread.

    Args:
        films: columns film_id, image_path, width_px, height_px.
        detector_model: `detector_model`, one row.
        store: where films and weights lie.
        settings: thresholds, device.
        read: see above.
        kept: what earlier runs found on the same pictures.
        report: gets progress lines.
    """
    rows = films.sort("film_id").select("film_id", "image_path", "width_px", "height_px").rows()
    items = [[image_path, width_px, height_px] for _, image_path, width_px, height_px in rows]
    code = [code_digest(f"olvf_assets.detection.prediction:{name}") for name in ("_search", read.__name__)]
    made_with = [code, detector_model["weights_sha256"].item(), settings.model_dump(mode="json", exclude={"workers"})]

    def searched(places: list[int]) -> Iterator[list[list]]:
        if report is not None and len(places) < len(items):
            report(f"{len(items) - len(places)} of {len(items)} films were searched before")
        search = partial(_search, detector_model=detector_model, store=store, settings=settings, read=read)
        found = in_batches(search, [items[place] for place in places], FILMS_OF_A_WORKER, NETWORK)
        return iter(reported(found, len(places), "films searched", report))

    found = (kept or KeptAnswers()).answers(items, made_with, searched)
    for (film_id, *_), (boxes, probabilities, levels) in zip(rows, found, strict=True):
        yield FilmBoxes(
            film_id,
            np.array(boxes, np.float64).reshape(-1, 4),
            np.array(probabilities, np.float64).reshape(len(boxes), -1 if boxes else len(LEVELS)),
            np.array(levels, np.int64),
        )


def _search(
    films: list[list],
    detector_model: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    read: "Callable[[torch.Tensor, DetectionSettings], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]",
) -> Iterator[list[list]]:
    """Yield boxes in film pixels, probabilities and levels of some films (image_path, width_px, height_px)."""
    prepare_ultralytics(store)
    import torch

    model, device = _load(detector_model, store, settings)
    image_px = detector_model["image_px"][0]

    @torch.inference_mode()
    def search(film: list) -> list[list]:
        image_path, width_px, height_px = film
        picture = torch.from_numpy(squeeze(store.load_image(image_path), image_px))
        answer = model(picture[None, None].to(device).float() / 255)
        boxes, probabilities, levels = read(
            (answer[0] if isinstance(answer, list | tuple) else answer)[0].cpu(), settings
        )
        to_film = np.array([width_px, height_px, width_px, height_px], np.float64) / image_px
        return [
            (boxes.numpy().astype(np.float64) * to_film).tolist(),
            probabilities.numpy().astype(np.float64).tolist(),
            levels.tolist(),
        ]

    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(settings.workers or available_cores()) as films_at_once:
            yield from films_at_once.map(search, films)
    finally:
        torch.set_num_threads(threads_before)


def level_boxes(
    answer: "torch.Tensor", settings: DetectionSettings
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Return boxes (n, 4), probabilities (n, 5) and levels (n,) as ultralytics' validation reads an answer.

    Every level of a box above `metric_confidence` counts as a detection of its own; overlaps are dropped per level.
    The probability stands in the column of the level, the other columns are 0. By falling confidence.
    """
    import torch
    from ultralytics.utils.nms import non_max_suppression

    kept = non_max_suppression(
        answer[None],
        conf_thres=settings.metric_confidence,
        iou_thres=settings.metric_iou,
        multi_label=True,
        max_det=MOST_BOXES,
        nc=len(answer) - 4,
        max_time_img=PATIENCE_S,
    )[0]
    kept = kept[kept[:, 5] < len(LEVELS)]
    levels = kept[:, 5].long()
    probabilities = torch.zeros(len(kept), len(LEVELS))
    probabilities[torch.arange(len(kept)), levels] = kept[:, 4]
    return kept[:, :4], probabilities, levels


def candidate_bodies(
    answer: "torch.Tensor", settings: DetectionSettings
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Return boxes (n, 4) of distinct bodies with all probabilities (n, 5 + helpers); levels are -1, still open."""
    import torch
    from ultralytics.utils.nms import non_max_suppression

    kept, indices = non_max_suppression(
        answer[None],
        conf_thres=settings.candidate_confidence,
        iou_thres=settings.candidate_iou,
        agnostic=True,
        max_det=MOST_BOXES,
        nc=len(answer) - 4,
        max_time_img=PATIENCE_S,
        return_idxs=True,
    )
    probabilities = answer[4:, indices[0].long().reshape(-1)].T
    return kept[0][:, :4], probabilities, torch.full((len(kept[0]),), -1)


def _load(
    detector_model: pl.DataFrame, store: ArtifactStore, settings: DetectionSettings
) -> "tuple[torch.nn.Module, torch.device]":
    """Return the network in evaluation mode, and its device."""
    import torch
    from safetensors.torch import load_file
    from ultralytics.nn.tasks import DetectionModel

    (row,) = detector_model.to_dicts()
    weights = verified_weights(row, store)
    name = choose_device(settings.device)
    device = torch.device(name if name == "cpu" else f"cuda:{name}")
    model = DetectionModel(f"{row['model']}.yaml", ch=1, nc=len(LEVELS) + len(row["helpers"]), verbose=False)
    model.load_state_dict(load_file(weights))
    return model.to(device).eval().fuse(verbose=False), device
