"""From points in the patient to the film: a cone beam from a point source.

What lives here: the beam, how a film is framed, and how clouds of points become maps of path length. What does not:
what the points are (`bodies.py`, `trunk.py`), attenuation (`exposure.py`), grey values (`film.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import View
from olvf_assets.phantom.bodies import outline
from olvf_assets.phantom.settings import SyntheticInstitution
from olvf_assets.phantom.spine import Skeleton

COARSE, MIDDLE, FINE = 8, 4, 2  # film pixels per pixel of the maps

Name = TypeVar("Name", bound=str)  # of a body
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in px


@dataclass(frozen=True)
class Beam:
    """Geometry of one exposure.

    Attributes:
        sid_mm: source to detector. object_mm: detector to the plane z = 0.
        aim: patient x, y of the central ray, mm. side: +1 when the patient's front is on the film's right, else -1.
        centre_px: where the central ray meets the film, x, y. pixel_mm: pitch.
        width_px, height_px: size of the film. field: x0, y0, x1, y1 of the collimated field, px.
    """

    sid_mm: float
    object_mm: float
    aim: tuple[float, float]
    side: int
    centre_px: tuple[float, float]
    pixel_mm: float
    width_px: int
    height_px: int
    field: tuple[float, float, float, float]

    @property
    def magnification(self) -> float:
        """Return the magnification of the plane z = 0."""
        return self.sid_mm / (self.sid_mm - self.object_mm)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return film x and y in px and magnification of points (3, n) in the patient frame, mm."""
        grown = np.float32(self.sid_mm) / (np.float32(self.sid_mm - self.object_mm) + points[2])
        scale = grown * np.float32(1 / self.pixel_mm)
        x = np.float32(self.centre_px[0]) + (points[0] - np.float32(self.aim[0])) * scale * np.float32(self.side)
        y = np.float32(self.centre_px[1]) + (points[1] - np.float32(self.aim[1])) * scale
        return x, y, grown

    def patient_grid(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return patient x (1, width) and y (height, 1) in mm at z = 0 of the map with `step` film pixels a pixel."""
        scale = self.pixel_mm / self.magnification
        columns = (np.arange(-(-self.width_px // step), dtype=np.float32) + 0.5) * step
        rows = (np.arange(-(-self.height_px // step), dtype=np.float32) + 0.5) * step
        x = self.aim[0] + (columns - self.centre_px[0]) * scale * self.side
        y = self.aim[1] + (rows - self.centre_px[1]) * scale
        return x[None, :].astype(np.float32), y[:, None].astype(np.float32)


def frame_film(skeleton: Skeleton, site: SyntheticInstitution, view: View, seed: int) -> Beam:
    """Return the geometry of one film, drawn from the patient's seed: the whole lumbar spine is in the field.

    A thoracic lateral is collimated below L3, so that L4 and L5 are outside.
    """
    rng = np.random.default_rng(derive_seed(seed, "beam", view))
    width, height = (round(each / site.pixel_mm) for each in site.plate_mm)
    bodies = skeleton.bodies
    object_mm = float(np.clip(rng.normal(site.spine_to_detector_mm, 14), 150, 320))
    scale = site.sid_mm / (site.sid_mm - object_mm) / site.pixel_mm
    side = 1 if np.random.default_rng(derive_seed(seed, "side")).random() < 0.5 else -1
    if rng.random() < 0.1:
        side = -side
    top = bodies["L1"].centre[1] - 0.62 * bodies["L1"].height - 3
    bottom = bodies["L5"].centre[1] + 0.85 * bodies["L5"].height + 3
    if view == "thoracic":
        bottom = (bodies["L3"].centre[1] + bodies["L4"].centre[1]) / 2 + 1.5
        aim_y = float(bodies["T11"].centre[1]) + rng.uniform(-8, 12)
        margin = rng.uniform(25, 150)
        y1 = height - margin
        centre_y = y1 - (bottom - aim_y) * scale
        y0 = rng.uniform(0, 60)
    else:
        aim_y = float(bodies["L3"].centre[1]) + rng.uniform(-15, 22)
        low, high = (bottom - aim_y) * scale, (top - aim_y) * scale  # px from the central ray
        free = height - (low - high)
        share = np.clip(rng.normal(0.5, 0.17), 0.2, 0.85)
        y_top = free * share  # film y of the upper edge of L1
        centre_y = y_top - high
        tight = rng.random() < site.collimated_share
        y0 = max(0.0, y_top - rng.uniform(250, 520)) if tight else rng.uniform(-40, 25)
        y1 = min(height, centre_y + low + rng.uniform(150, 480)) if tight else height - rng.uniform(-40, 25)
    middle = np.mean([bodies[name].centre[0] for name in ("L1", "L2", "L3", "L4", "L5")])
    lumbar = [bodies[name].centre[0] for name in ("L1", "L2", "L3", "L4", "L5")]
    reach = max(max(lumbar) - middle, middle - min(lumbar)) + 27
    room = max(0.0, width / 2 - reach * scale - 40)
    shift = float(np.clip(rng.normal(0.08 * side * -width, 0.09 * width), -room, room))
    aim_x = float(middle) + 8.0
    centre_x = width / 2 + shift + 8.0 * scale * side
    x0, x1 = -20.0, width + 20.0
    if rng.random() < site.collimated_share:
        spine_px = width / 2 + shift
        front, back = rng.uniform(75, 150) * scale, rng.uniform(70, 130) * scale
        x0 = spine_px - (back if side > 0 else front)
        x1 = spine_px + (front if side > 0 else back)
    x0, x1 = min(x0, width / 2 + shift - (reach + 4) * scale), max(x1, width / 2 + shift + (reach + 4) * scale)
    return Beam(
        site.sid_mm, object_mm, (aim_x, aim_y), side, (centre_x, centre_y), site.pixel_mm, width, height,
        (float(x0), float(y0), float(x1), float(y1)),
    )  # fmt: skip


def path_length(clouds: Sequence[tuple[np.ndarray, np.ndarray]], beam: Beam, step: int) -> np.ndarray:
    """Return float32 (rows, columns): path length through the clouds' material, mm, on the map with `step`.

    A point of volume V seen with magnification m on pixels of p mm adds V m² / p² to the pixel it falls on.
    """
    columns, rows = -(-beam.width_px // step), -(-beam.height_px // step)
    area = (beam.pixel_mm * step) ** 2
    flat: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for points, volume in clouds:
        x, y, grown = beam.project(points)
        x, y = x * np.float32(1 / step), y * np.float32(1 / step)
        weight = volume * grown * grown
        if x.min() < 0 or x.max() >= columns or y.min() < 0 or y.max() >= rows:
            inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
            x, y, weight = x[inside], y[inside], weight[inside]
        flat.append(y.astype(np.intp) * columns + x.astype(np.intp))
        weights.append(weight)
    if not flat:
        return np.zeros((rows, columns), np.float32)
    total = np.bincount(np.concatenate(flat), np.concatenate(weights), minlength=rows * columns)
    return (total / area).astype(np.float32).reshape(rows, columns)


def body_boxes(skeleton: Skeleton, beam: Beam, levels: Sequence[Name]) -> dict[Name, Box]:
    """Return x0, y0, x1, y1 in px of the projected outlines of the bodies, without any margin."""
    boxes: dict[Name, Box] = {}
    for level in levels:
        body = skeleton.bodies[level]
        x, y, _ = beam.project(body.place(outline(body)))
        boxes[level] = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    return boxes
