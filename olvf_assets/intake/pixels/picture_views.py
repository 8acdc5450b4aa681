"""What a picture itself tells of how it was taken, where its header is silent or wrong.

What lives here: the last word on view and body part, the doubt that a picture casts on its header, and a picture
without its collimated margins. What does not: the header's words (`view_rules`), the network that looks
(`picture_net`), decoding (`pixels`).

A clear header is never overruled: where the picture says otherwise, the film is taken in and marked (`view_doubt`) for
a person to look at. Where the header is silent the picture decides, if it is sure. Which part of the spine a lateral
film shows matters less: where that is unsure, it is called `spine`. Whether a lateral spine is bent cannot be seen
without a neutral film of the same patient, so a bent film is only ever known from its header.
"""

from typing import Any

import cv2
import numpy as np

from olvf_assets.intake.headers.view_rules import BodyPart, view_of
from olvf_assets.intake.pixels.picture_net import PictureKind, picture_kind

GRID_MM = 4.0
UNKNOWN_SIDE_CELLS = 100  # of the longer side, where nobody knows the spacing: the grid of a film 40 cm long
BLACK = 8.0  # of 255; collimated margins are darker
LEAST_BRIGHT = 0.10  # share of a row or column of the exposed field that is brighter than that, at least
# Probabilities of a lateral spine at which a silent film is one, at which it is none, and at which a header is doubted.
# Chosen on phantoms of the withheld look: see `commands.make_weights`.
LATERAL, NOT_LATERAL, DOUBTED = 0.90, 0.10, 0.03
SURE_OF_PART = 0.85  # share of the probability of a lateral film


def kind_of_picture(pixels: np.ndarray, pixel_mm: float | None) -> PictureKind:
    """Return what a picture is.

    Args:
        pixels: uint8 (height_px, width_px), 0 black, bright = dense.
        pixel_mm: spacing of its pixels; None where nobody knows it.
    """
    return picture_kind(field_of(pixels, pixel_mm))


def decide_view(film: dict[str, Any], kind: PictureKind) -> dict[str, Any]:
    """Return view, body part, where each comes from (`header` or `image`), on what evidence, and what is doubtful.

    Args:
        film: row of `dicom_headers`; `view_source` and `body_part_source` are null where the header does not decide.
        kind: of its picture.

    Returns:
        The columns of `film_pixels`, with `refusal` and `refusal_detail`. Reasons, only where the header is silent:
        `not_lateral`, `view_undecided`.
    """
    looks = (
        f"the picture looks like a lateral spine with probability {kind.lateral:.2f}, like a frontal film with "
        f"{kind.frontal:.2f}"
    )
    if film["view_source"] == "header":
        view = {"view_source": "header", "view_evidence": film["view_evidence"]}
    else:
        evidence = f"{film['view_evidence']}; {looks}"
        if kind.lateral < LATERAL:
            reason = "not_lateral" if kind.lateral < NOT_LATERAL else "view_undecided"
            detail = f"{evidence}; if it is lateral, fill in ViewPosition (LL or RL) at the modality or PACS"
            return {"refusal": reason, "refusal_detail": detail}
        view = {"view_source": "image", "view_evidence": evidence}
    part, source, evidence = film["body_part"], film["body_part_source"], film["body_part_evidence"]
    if source != "header":
        part, source = part_of_picture(kind), "image"
        evidence = f"{evidence}; {kind.lumbar:.2f} for a lumbar, {kind.thoracic:.2f} for a thoracic picture"
    part_columns = {"body_part": part, "body_part_source": source, "body_part_evidence": evidence}
    doubt = {"view_doubt": doubt_of(film, kind, looks)}
    return view | part_columns | doubt | {
        "view": view_of(part, film["bending"]), "refusal": None, "refusal_detail": None,
    }  # fmt: skip


def part_of_picture(kind: PictureKind) -> BodyPart:
    """Return which part of the spine a lateral picture shows; `spine` where that is unsure."""
    if kind.lateral < LATERAL:
        return "spine"
    share = kind.lumbar / kind.lateral
    if share >= SURE_OF_PART:
        return "lumbar"
    return "thoracic" if share <= 1 - SURE_OF_PART else "spine"


def doubt_of(film: dict[str, Any], kind: PictureKind, looks: str) -> str | None:
    """Return in what a picture surely says otherwise than its header, for a person to look at; None in nothing."""
    if film["view_source"] == "header" and kind.lateral < DOUBTED:
        return f"{film['view_evidence']}, but {looks}; if the header is wrong, correct it or take the film away"
    said, shown = film["body_part"], part_of_picture(kind)
    if film["body_part_source"] == "header" and {said, shown} == {"lumbar", "thoracic"}:
        return f"{film['body_part_evidence']}, but the picture looks {shown}"
    return None


def field_of(pixels: np.ndarray, pixel_mm: float | None) -> np.ndarray:
    """Return float32 picture on a grid of about 4 mm, without its collimated margins."""
    per_pixel = UNKNOWN_SIDE_CELLS / max(pixels.shape) if pixel_mm is None else pixel_mm / GRID_MM
    size = tuple(max(8, round(each * per_pixel)) for each in pixels.shape)
    small: Any = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return exposed_field(small.astype(np.float32))


def exposed_field(small: np.ndarray) -> np.ndarray:
    """Return the picture without its collimated margins: outer rows and columns that are black nearly throughout."""
    bright = small > BLACK
    rows = np.flatnonzero(bright.mean(axis=1) > LEAST_BRIGHT)
    columns = np.flatnonzero(bright.mean(axis=0) > LEAST_BRIGHT)
    if rows.size < 8 or columns.size < 8:
        return small
    return small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
