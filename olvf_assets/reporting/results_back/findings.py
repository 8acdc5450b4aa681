"""What is known of each film, from the tables: what goes back.

What lives here: which films have results, and the values of one film together. What does not: DICOM
(`structured_report.py`, `attention_image.py`), whose film it is (`film_header.py`). Nothing here rests on a label.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from olvf_assets.detection.tables import BOX_PX
from olvf_assets.foundation.errors import StaleError
from olvf_assets.foundation.vocabulary import CLASSES

MODEL = "ensemble_of_15"
FILM = ["institution", "film_id"]
FORM = 2  # of the objects; another one makes all of them anew
CROP_PLACE = ("x0_px", "y0_px", "x1_px", "y1_px", "scale", "pad_left_px", "pad_top_px")


class StaleResultsError(StaleError):
    """Predictions are of other crops than those that the detector's boxes give now."""


@dataclass(frozen=True)
class Vertebra:
    """One level of a film.

    Attributes:
        level: L1 to L5.
        box_px: left, top, right, bottom in pixels of the film, the outer corner of its first pixel being 0, 0.
        confidence: of the detector in this level, 0 to 1.
        predicted: the class, None where the networks were not asked.
        probabilities: by class, 0 to 1; empty where the networks were not asked.
        map_path: the attention map of its crop in the store, if there is one.
        crop: where the crop was cut, by CROP_PLACE; empty without a map.
    """

    level: str
    box_px: tuple[float, float, float, float]
    confidence: float
    predicted: str | None
    probabilities: Mapping[str, float]
    map_path: str | None
    crop: Mapping[str, float]


@dataclass(frozen=True)
class Findings:
    """All that goes back about one film.

    Attributes:
        institution, film_id, patient_id: the film and, as a pseudonym, whose it is.
        path: the film's file as tables show it.
        image_path: its picture in the store.
        state: resolved, ambiguous or nothing_found, see `detected_films`.
        vertebrae: from L1 to L5; none unless the levels are resolved.
        detector_sha256, classifiers_sha256: of the weights; the second is None where no class was given.
        attention: the network whose attention the maps show.
    """

    institution: str
    film_id: str
    patient_id: str
    path: str
    image_path: str
    state: str
    vertebrae: tuple[Vertebra, ...]
    detector_sha256: str
    classifiers_sha256: str | None
    attention: str

    def content(self) -> str:
        """Return what two equal results have in common, whichever machine, day or library they were computed with."""
        vertebrae = [
            [each.level, [round(edge, 2) for edge in each.box_px], round(each.confidence, 6), each.predicted,
             {name: round(value, 6) for name, value in sorted(each.probabilities.items())}, each.map_path]
            for each in self.vertebrae
        ]  # fmt: skip
        weights = [self.detector_sha256, self.classifiers_sha256]
        return json.dumps([FORM, self.film_id, self.image_path, self.state, weights, vertebrae])

    @property
    def has_map(self) -> bool:
        """Return whether there is an attention map of any level."""
        return any(each.map_path for each in self.vertebrae)


def findings_of(
    institution: str,
    *,
    films: pl.DataFrame,
    dicom_headers: pl.DataFrame,
    detected_films: pl.DataFrame,
    detections: pl.DataFrame,
    crops: pl.DataFrame,
    predictions: pl.DataFrame,
    maps: pl.DataFrame,
    protocol: str,
    only_predicted: bool,
) -> list[Findings]:
    """Return what goes back of an institution, by film, sorted.

    Args:
        institution: its key.
        films: table `films`.
        dicom_headers: table `dicom_headers`, for the films' files.
        detected_films: table `detected_films`.
        detections: table `detections`.
        crops: the crops that were cut at the boxes: crop_id, film_id, level, image_path and CROP_PLACE.
        predictions: `ensemble_predictions`.
        maps: attention maps: crop_id, architecture, fold, map_path.
        protocol: whose detector and networks speak.
        only_predicted: leave out films without any prediction: networks have learnt from them, or may have.

    Raises:
        StaleResultsError: see there.
    """
    own = {"institution": institution, "protocol": protocol}
    files = dicom_headers.filter(institution=institution).filter(pl.col("refusal").is_null())
    known = films.filter(institution=institution).select(*FILM, "patient_id", "image_path")
    known = known.join(files.select(*FILM, "path").unique(FILM, keep="none"), on=FILM)
    states = detected_films.filter(**own).select(*FILM, "state", "detector_sha256")
    said = predictions.filter(model=MODEL, replica=0, **own)
    by_crop = {row["crop_id"]: row for row in said.iter_rows(named=True)}
    placed = {row["crop_id"]: row for row in crops.filter(**own).iter_rows(named=True)}
    seen = {row["crop_id"]: row for row in maps.filter(**own).iter_rows(named=True)}
    boxes = {
        film_id: rows.sort("level").to_dicts() for (film_id,), rows in detections.filter(**own).group_by("film_id")
    }
    found = []
    for film in known.join(states, on=FILM).sort("film_id").iter_rows(named=True):
        asked = [_asked(film["film_id"], box, by_crop, placed, seen) for box in boxes.get(film["film_id"], [])]
        weights = {row["weights_sha256"] for _, row, _ in asked if row is not None}
        if len(weights) > 1:
            raise StaleResultsError("ensemble_predictions are of several trainings; materialise them again")
        if only_predicted and not weights:
            continue
        networks = sorted({f"{row['architecture']}, fold {row['fold']}" for _, _, row in asked if row is not None})
        found.append(
            Findings(
                institution=institution,
                film_id=film["film_id"],
                patient_id=film["patient_id"],
                path=film["path"],
                image_path=film["image_path"],
                state=film["state"],
                vertebrae=tuple(vertebra for vertebra, _, _ in asked),
                detector_sha256=film["detector_sha256"],
                classifiers_sha256=next(iter(weights), None),
                attention="; ".join(networks),
            )
        )
    return found


Row = dict[str, Any]


def _asked(
    film_id: str, box: Row, by_crop: Mapping[str, Row], placed: Mapping[str, Row], seen: Mapping[str, Row]
) -> tuple[Vertebra, Row | None, Row | None]:
    """Return a vertebra, the prediction and the attention map that it rests on."""
    crop_id = f"{film_id}-{box['level']}"
    crop, said, seen_at = placed.get(crop_id), by_crop.get(crop_id), seen.get(crop_id)
    if said is not None and (crop is None or crop["image_path"] != said["image_path"]):
        raise StaleResultsError(
            f"{crop_id}: the prediction is of another crop than the one that the detector's box gives now; run the "
            "study once more (materialise ensemble_predictions and what it rests on)"
        )
    shown = (
        seen_at if crop is not None and seen_at is not None and seen_at["image_path"] == crop["image_path"] else None
    )
    vertebra = Vertebra(
        level=box["level"],
        box_px=(box[BOX_PX[0]], box[BOX_PX[1]], box[BOX_PX[2]], box[BOX_PX[3]]),
        confidence=box["confidence"],
        predicted=None if said is None else said["predicted"],
        probabilities={} if said is None else {name: said[f"p_{name}"] for name in CLASSES},
        map_path=None if shown is None else shown["map_path"],
        crop={} if shown is None or crop is None else {name: crop[name] for name in CROP_PLACE},
    )
    return vertebra, said, shown
