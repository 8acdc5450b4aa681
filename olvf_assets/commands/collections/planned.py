"""What is to become of each file of a collection.

What lives here: the words in which a collection's reader (`buu`, `mendeley`, `vindr`, `pictures`) says which film comes
from which file and what is drawn on it, and the rule that boxes must keep to be handed over. What does not: reading
files (`download.py`), making films (`films.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from olvf_assets.foundation.vocabulary import LEVELS, OTHER_VERTEBRAE, UNNAMED_BODY
from olvf_assets.intake.boxes.formats import Corners

if TYPE_CHECKING:
    from olvf_assets.commands.collections.download import Download

# What a box may be called, in the order of the class numbers of the files that are written.
CLASSES = (*LEVELS, *OTHER_VERTEBRAE, UNNAMED_BODY)
FROM_HEAD_TO_FOOT = (*OTHER_VERTEBRAE[:-1], *LEVELS, OTHER_VERTEBRAE[-1])
BEYOND = 0.02  # share of the picture's side that a box may stick out; it is then cut


class Skipped(NamedTuple):
    """A file that nothing, or a part of nothing, is made of: why, as a code and in words."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Drawing:
    """What is drawn on a picture.

    Attributes:
        boxes: (what it is called, one of `CLASSES`; left, top, right, bottom).
        size_px: (width, height) of the picture that the corners are pixels of; None: of the picture itself.
        shares: corners are shares of the picture's sides, not pixels.
    """

    boxes: Sequence[tuple[str, Corners]] = ()
    size_px: tuple[int, int] | None = None
    shares: bool = False


@dataclass(frozen=True)
class PlannedFilm:
    """A film that is to be made.

    Attributes:
        source: path of its picture in the download.
        name: path of the film below `films/`, without ending; that of its boxes below `boxes/`.
        patient_id: of whom.
        sex: `F`, `M` or None where nobody says.
        age_years: or None.
        lateral: the collection says that it is a lateral film of the lumbar spine; else the picture must tell.
        drawing: what is drawn on it; None where nobody drew.
    """

    source: str
    name: str
    patient_id: str
    sex: str | None = None
    age_years: int | None = None
    lateral: bool = False
    drawing: Drawing | None = None


@dataclass
class Plan:
    """What a collection's reader found: films to be made, files that are left out, and what was mended, in words."""

    films: list[PlannedFilm] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    mended: list[Skipped] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """What a user wants.

    Attributes:
        lateral: of plain pictures, all are lateral lumbar films.
        folder_is_patient: of plain pictures, a folder is a patient.
        silent: films state neither view nor body part, and frontal ones are made, too: whether pictures tell.
    """

    lateral: bool = False
    folder_is_patient: bool = False
    silent: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of collection.

    Attributes:
        key: its name on the command line.
        title: what it is called.
        licence: its terms, as far as they are known; kept with the hospital.
        access: how one gets it.
        taken: what is made of it, and what is not.
        read: makes the plan.
        is_dicom: its files are DICOM already.
    """

    key: str
    title: str
    licence: str
    access: str
    taken: str
    read: "Callable[[Download, Options], Plan]"
    is_dicom: bool = False


def placed(drawing: Drawing, width_px: int, height_px: int) -> tuple[list[tuple[str, Corners]], str | None]:
    """Return a drawing's boxes as shares of its picture, or none of them and what is wrong.

    Args:
        drawing: as the collection has it.
        width_px: of the picture, upright.
        height_px: of the picture, upright.
    """
    across, down = (1, 1) if drawing.shares else drawing.size_px or (width_px, height_px)
    if drawing.size_px and not drawing.shares and not _same_shape(drawing.size_px, (width_px, height_px)):
        return (
            [],
            f"boxes are of a picture of {across} x {down} px, which is no copy of this one, {width_px} x {height_px}",
        )
    found: list[tuple[str, Corners]] = []
    for name, (x0, y0, x1, y1) in drawing.boxes:
        box = (x0 / across, y0 / down, x1 / across, y1 / down)
        if min(box) < -BEYOND or max(box) > 1 + BEYOND:
            return [], f"{name} lies outside of its picture of {width_px} x {height_px} px"
        left, top, right, bottom = (min(max(each, 0.0), 1.0) for each in box)
        if (right - left) * width_px < 1 or (bottom - top) * height_px < 1:
            return [], f"the box of {name} is narrower or lower than a pixel"
        if name != UNNAMED_BODY and name in {other for other, _ in found}:
            return [], f"{name} is drawn twice"
        found.append((name, (left, top, right, bottom)))
    return (found, None) if (fault := disorder(dict(found))) is None else ([], fault)


def disorder(named: Mapping[str, Corners]) -> str | None:
    """Return what is wrong with the order of named boxes from head to foot, None if nothing is."""
    in_order = [(name, named[name]) for name in FROM_HEAD_TO_FOOT if name in named]
    for (upper, above), (lower, below) in pairwise(in_order):
        if above[1] + above[3] >= below[1] + below[3]:
            return f"{lower} is drawn above {upper}"
    return None


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether one factor makes both sides of a picture those of another, a pixel of rounding aside."""
    least = max((side - 1) / whole for side, whole in zip(one, other, strict=True))
    most = min((side + 1) / whole for side, whole in zip(one, other, strict=True))
    return least <= most
