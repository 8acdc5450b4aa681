"""What a picture itself tells of how it was taken, where its header is silent or wrong.

What lives here: measuring a picture (mirror symmetry of the trunk about its spine, the dark behind the back, the lung)
and the last word on view and body part. What does not: the header's words (`view_rules`), decoding (`pixels`).

A frontal film of the trunk is its own mirror image about a bright spine; a lateral one is not: belly in front, and
behind the back, on one side only, it is dark. On a lateral lumbar film the diaphragm is near the upper edge, on a
thoracic one in the middle with dark lung above. That is coarse and needs no training. Whether a lateral spine is bent
cannot be seen without a neutral film of the same patient, so a bent film is only ever known from its header.
Limits were set on 150 phantom films of three kinds of hospital (benchmarks/intake.py shows the confusion on others); no
film of a patient has been seen, so what falls between is refused.
"""

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from olvf_assets.intake.headers.view_rules import view_of

GRID_MM = 4.0  # the spine is 10 of these wide, an arch or a rib is not seen
UNKNOWN_SIDE_CELLS = 100  # of the longer side, where nobody knows the spacing: the grid of a film 40 cm long
BLACK, AIR = 8.0, 20.0  # of 255; collimated margins and the air beside the patient are darker
LEAST_BRIGHT = 0.10  # share of a row or column of the exposed field that is brighter than that, at least
AXES = (0.42, 0.58)  # the spine of a frontal film stands there, in shares of the field's width
INNER = (0.10, 0.90)  # where the brightest column of a row is looked for
NEAR_AXIS = 0.08  # share of the width
# Of 30 frontal films of the phantom none met all limits for lateral ones, of 120 lateral films 102 did. Lateral ones
# reach a frontal likeness of 0.51. A limb leaves more of its field empty than a trunk.
LATERAL_LIKENESS, LATERAL_SYMMETRY, LATERAL_DARK_BACK, LATERAL_FILLED = 0.30, 0.70, 0.40, 0.80
FRONTAL_LIKENESS = 0.60
CONTRADICTS_HEADER = 0.75
BORDER = 1 / 6  # of the width; where the dark behind the back is looked for
DARKER = 0.75
# Diaphragm at these heights, or below them the pelvis as the steeper edge; and lung darker than the belly, or not.
LUMBAR_EDGES, LUMBAR_UPPER_BRIGHTNESS = ((0.0, 0.25), (0.64, 1.0)), 0.80
THORACIC_EDGES, THORACIC_UPPER_BRIGHTNESS = (0.34, 0.60), 0.70
UPPER, LOWER = (0.15, 0.35), (0.55, 0.75)  # shares of the height


class PictureTraits(NamedTuple):
    """Measures of one picture.

    Attributes:
        symmetry: correlation, -1 to 1, of the exposed field with its mirror image about the best upright axis.
        spine_on_axis: share of the rows, 0 to 1, whose brightest place is on that axis.
        dark_back: share of the rows, 0 to 1, of which one border, the same in all, is darker than middle and other one.
        filled: share of the field, 0 to 1, that is not as dark as air.
        edge_height: where the picture brightens most on the way down, 0 (top of the field) to 1: diaphragm or pelvis.
        upper_brightness: brightness of the upper over that of the lower field.
    """

    symmetry: float
    spine_on_axis: float
    dark_back: float
    filled: float
    edge_height: float
    upper_brightness: float

    @property
    def frontal_likeness(self) -> float:
        """Return how much the film looks like a frontal one, -1 to 1."""
        return self.symmetry * self.spine_on_axis


def picture_traits(pixels: np.ndarray, pixel_mm: float | None) -> PictureTraits:
    """Measure a picture.

    Args:
        pixels: uint8 (height_px, width_px), 0 black, bright = dense.
        pixel_mm: spacing of its pixels; None where nobody knows it.
    """
    field = exposed_field(_small(pixels, pixel_mm))
    symmetry, on_axis = mirror_symmetry(field)
    measured = (symmetry, on_axis, dark_back(field), float(np.mean(field > AIR)), *upper_part(field))
    return PictureTraits(*(round(each, 3) for each in measured))


def picture_projection(traits: PictureTraits) -> Literal["lateral", "frontal"] | None:
    """Return the projection that a picture shows, None between the limits."""
    if (
        traits.frontal_likeness < LATERAL_LIKENESS
        and traits.symmetry < LATERAL_SYMMETRY
        and traits.dark_back > LATERAL_DARK_BACK
        and traits.filled > LATERAL_FILLED
    ):
        return "lateral"
    return "frontal" if traits.frontal_likeness > FRONTAL_LIKENESS else None


def picture_body_part(traits: PictureTraits) -> Literal["lumbar", "thoracic"] | None:
    """Return what a lateral picture of the spine shows, None between the limits."""
    if any(low <= traits.edge_height <= high for low, high in LUMBAR_EDGES):
        return "lumbar" if traits.upper_brightness > LUMBAR_UPPER_BRIGHTNESS else None
    low, high = THORACIC_EDGES
    lung = low <= traits.edge_height <= high and traits.upper_brightness < THORACIC_UPPER_BRIGHTNESS
    return "thoracic" if lung else None


def decide_view(film: dict[str, Any], traits: PictureTraits) -> dict[str, Any]:
    """Return view, body part, where each comes from (`header` or `image`) and on what evidence.

    Args:
        film: row of `dicom_headers`; `view_source` and `body_part_source` are null where the header does not decide.
        traits: of its picture.

    Returns:
        The columns of `film_pixels`, with `refusal` and `refusal_detail`. Reasons: `not_lateral` (the picture is
        frontal, against its header or where that is silent), `view_undecided`, `body_part_undecided`.
    """
    likeness = (
        f"the picture's frontal likeness is {traits.frontal_likeness:.2f}, its symmetry {traits.symmetry:.2f}, and "
        f"{traits.dark_back:.0%} of its rows are dark behind a back"
    )
    if film["view_source"] == "header":
        if traits.frontal_likeness > CONTRADICTS_HEADER:
            return _refused("not_lateral", f"{film['view_evidence']}, but {likeness}; correct the header or the film")
        view = {"view_source": "header", "view_evidence": film["view_evidence"]}
    else:
        evidence = f"{film['view_evidence']}; {likeness}"
        projection = picture_projection(traits)
        if projection == "frontal":
            return _refused("not_lateral", evidence)
        if projection is None:
            return _refused("view_undecided", f"{evidence}; fill in ViewPosition (LL or RL) at the modality or PACS")
        view = {"view_source": "image", "view_evidence": evidence}
    part, source, evidence = film["body_part"], film["body_part_source"], film["body_part_evidence"]
    if source != "header":
        part, source = picture_body_part(traits), "image"
        evidence = (
            f"{evidence}; the diaphragm or pelvis is at {traits.edge_height:.2f} of the field's height, its upper part "
            f"{traits.upper_brightness:.2f} times as bright as the lower"
        )
        if part is None:
            return _refused("body_part_undecided", f"{evidence}; fill in Body Part Examined (LSPINE or TSPINE)")
    part_columns = {"body_part": part, "body_part_source": source, "body_part_evidence": evidence}
    return view | part_columns | {"view": view_of(part, film["bending"]), "refusal": None, "refusal_detail": None}


def _refused(reason: str, detail: str) -> dict[str, Any]:
    return {"refusal": reason, "refusal_detail": detail}


def _small(pixels: np.ndarray, pixel_mm: float | None) -> np.ndarray:
    per_pixel = UNKNOWN_SIDE_CELLS / max(pixels.shape) if pixel_mm is None else pixel_mm / GRID_MM
    size = tuple(max(8, round(each * per_pixel)) for each in pixels.shape)
    small: Any = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def exposed_field(small: np.ndarray) -> np.ndarray:
    """Return the picture without its collimated margins: outer rows and columns that are black nearly throughout."""
    bright = small > BLACK
    rows = np.flatnonzero(bright.mean(axis=1) > LEAST_BRIGHT)
    columns = np.flatnonzero(bright.mean(axis=0) > LEAST_BRIGHT)
    if rows.size < 8 or columns.size < 8:
        return small
    return small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def mirror_symmetry(field: np.ndarray) -> tuple[float, float]:
    """Return the largest correlation of the field with its mirror image, over upright axes near its middle.

    And the share of its rows that are brightest on that axis. Every row's mean is taken off before: brightness that
    changes from top to bottom is not symmetry.
    """
    smooth: Any = cv2.GaussianBlur(field, (0, 0), 1.5)
    width = smooth.shape[1]
    best, axis = -1.0, width / 2
    for doubled in range(int(2 * AXES[0] * width), int(2 * AXES[1] * width) + 1):  # twice the column of the axis
        reach = min(doubled, 2 * width - doubled) // 2
        left = smooth[:, (doubled + 1) // 2 - reach : (doubled + 1) // 2]
        right = smooth[:, doubled // 2 : doubled // 2 + reach][:, ::-1]
        middle = (left.mean(axis=1, keepdims=True) + right.mean(axis=1, keepdims=True)) / 2
        left, right = left - middle, right - middle
        power = float(np.sqrt((left**2).sum() * (right**2).sum()))
        if power > 0 and (found := float((left * right).sum()) / power) > best:
            best, axis = found, doubled / 2
    first, last = int(INNER[0] * width), int(INNER[1] * width)
    brightest = smooth[:, first:last].argmax(axis=1) + first
    return best, float(np.mean(np.abs(brightest - axis) <= NEAR_AXIS * width))


def dark_back(field: np.ndarray) -> float:
    """Return the share of rows whose border, the darker of the two, is darker than the middle and the other border."""
    smooth: Any = cv2.GaussianBlur(field, (0, 0), 1.5)
    width = smooth.shape[1]
    border = max(1, int(BORDER * width))
    left, right = smooth[:, :border].mean(axis=1), smooth[:, -border:].mean(axis=1)
    middle = smooth[:, width // 3 : 2 * width // 3].mean(axis=1)
    back, front = (left, right) if left.mean() < right.mean() else (right, left)
    return float(np.mean((back < DARKER * middle) & (back < DARKER * front)))


def upper_part(field: np.ndarray) -> tuple[float, float]:
    """Return where the field brightens most on the way down, 0 (top) to 1, and its upper over its lower brightness."""
    profile: Any = cv2.GaussianBlur(np.percentile(field, 60, axis=1)[:, None].astype(np.float32), (0, 0), 2).ravel()
    height = len(profile)
    upper, lower = (float(profile[int(low * height) : int(high * height)].mean()) for low, high in (UPPER, LOWER))
    return int(np.argmax(np.gradient(profile))) / height, upper / max(lower, 1.0)
