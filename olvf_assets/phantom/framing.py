"""How a film of a wide look is cut: which vertebrae, how large, where in the picture.

What lives here: the geometry of one exposure whose field may lie anywhere between T6 and the hips. What does not: the
beam itself and films of the plain look (`projection.py`).
"""

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import View
from olvf_assets.phantom.bodies import outline
from olvf_assets.phantom.looks import Look
from olvf_assets.phantom.projection import Beam
from olvf_assets.phantom.settings import SyntheticInstitution
from olvf_assets.phantom.spine import Skeleton

LUMBAR = ("L1", "L2", "L3", "L4", "L5")
LEAST_WIDTH_MM = 175.0  # of a picture, in the detector plane
MARGIN_MM = 7.0  # of the patient around the bodies that must be in the field
BELOW_SACRUM_MM = 150.0  # of S1's end-plate: the hips, and the end of what there is to see


def frame_wide(skeleton: Skeleton, site: SyntheticInstitution, view: View, seed: int, look: Look) -> Beam:
    """Return the geometry of one film: L1 to L5 are in the field (L1 to L3 of a thoracic lateral), T6 is the highest.

    The picture is as large as its look says, or larger where these vertebrae need it. What lies beyond T6 and the hips
    is behind the collimator.
    """
    rng = np.random.default_rng(derive_seed(seed, "beam", view))
    bodies = skeleton.bodies
    object_mm = float(np.clip(rng.normal(site.spine_to_detector_mm, 14), 150, 320))
    scale = site.sid_mm / (site.sid_mm - object_mm) / site.pixel_mm  # px per mm of the patient
    side = 1 if np.random.default_rng(derive_seed(seed, "side")).random() < 0.5 else -1
    highest = float(bodies["T6"].centre[1] - 0.4 * bodies["T6"].height)
    edges = {name: bodies[name].place(outline(bodies[name])) for name in LUMBAR}
    top = float(edges["L1"][1].min()) - MARGIN_MM
    if view == "thoracic":
        bottom = max(float(bodies["L3"].centre[1] + bodies["L4"].centre[1]) / 2, float(edges["L3"][1].max())) + 1.5
        lowest = bottom
    else:
        bottom = float(edges["L5"][1].max()) + MARGIN_MM
        lowest = BELOW_SACRUM_MM
    tall = max(look.height_mm / site.pixel_mm / scale, bottom - top)  # mm of the patient
    above = (tall - (bottom - top)) * (look.share if view != "thoracic" else 1.0)
    y0 = top - above
    y1 = y0 + tall
    if y1 > lowest:
        y0, y1 = y0 - (y1 - lowest), lowest
    height = round(tall * scale)
    shown = LUMBAR[:3] if view == "thoracic" else LUMBAR
    ends = np.concatenate([edges[name][0] for name in shown])
    middle = float(ends.max() + ends.min()) / 2
    reach = float(ends.max() - ends.min()) / 2 + MARGIN_MM  # mm of the patient to both sides, always in the field
    width = round(max(height * look.shape, LEAST_WIDTH_MM / site.pixel_mm, 2.1 * reach * scale))
    room = width / 2 - reach * scale - 2
    centre_x = width / 2 - look.across * room * side
    centre_y = -y0 * scale  # of patient y = 0
    aim_y = (top + bottom) / 2 + rng.uniform(-25, 25)
    field_top = max(0.0, (highest - y0) * scale)
    if rng.random() < site.collimated_share:  # a little of what could be seen is behind the blades
        field_top = max(field_top, rng.uniform(0, 0.6) * (top - y0) * scale)
    field_bottom = height - (rng.uniform(0, 0.6) * (y1 - bottom) * scale if rng.random() < 0.3 else 0.0)
    margins = (centre_x - reach * scale, width - centre_x - reach * scale)
    left, right = (rng.uniform(0, 0.7) * each if rng.random() < 0.3 else -20.0 for each in margins)
    return Beam(
        site.sid_mm, object_mm, (middle, float(aim_y)), side, (float(centre_x), float(centre_y + aim_y * scale)),
        site.pixel_mm, width, height, (float(left), float(field_top), float(width - right), float(field_bottom)),
    )  # fmt: skip
