"""Box files as labelling programs write them: YOLO text, Pascal VOC XML, COCO JSON.

What lives here: from a file's content to boxes drawn in a picture. What does not: which film the picture shows and
whether the boxes fit it (`boxes`).

- YOLO (labelImg): a line a box, `class x y width height`, centre and size as shares of the picture.
- Pascal VOC (labelImg): pixels counted from 1, both ends included, so that xmin 1 and xmax W span a picture W wide
  (VOC development kit, annotation guidelines).
- COCO: `bbox` is left, top, width, height in pixels, the picture's corner being 0, 0 (cocodataset.org, data format).
"""

import math
from collections.abc import Sequence
from pathlib import PureWindowsPath
from typing import Annotated, NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import BaseModel, Field, ValidationError

from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.sheet_problems import quotable
from olvf_assets.intake.sheet_words import word

Corners = tuple[float, float, float, float]  # left, top, right, bottom


class Box(NamedTuple):
    """A box as it is drawn. `place` says where it stands in its file, as "line 3"."""

    place: str
    level: str
    corners: Corners


class Picture(NamedTuple):
    """A picture that boxes are drawn in.

    Attributes:
        name: the picture's file name in a file about several pictures, else "".
        size_px: (width, height); None where corners are shares of the picture and its size is not told.
        boxes: in the order of the file.
    """

    name: str
    size_px: tuple[int, int] | None
    boxes: list[Box]


class FormatError(ValueError):
    """A box file is not what its ending says, or a box of it is no box of a lumbar level (internal)."""


def read_yolo(content: bytes, levels: Sequence[str]) -> list[Picture]:
    """Return the one picture of a YOLO file. `levels` are the words of `classes.txt`.

    Raises:
        FormatError: lists every line that is not five numbers or whose class is no lumbar level.
    """
    boxes: list[Box] = []
    faults: list[str] = []
    for number, line in enumerate(content.decode("utf-8-sig", errors="replace").splitlines(), start=1):
        numbers = _five_numbers(line)
        if not line.strip():
            continue
        if numbers is None:
            faults.append(f"line {number}: is not five numbers: class, centre x, centre y, width, height")
        elif (level := _level_of_class(numbers[0], levels)) is None:
            faults.append(f"line {number}: class {numbers[0]:g} is no lumbar level; allowed are {_allowed(levels)}")
        else:
            _, x, y, width, height = numbers
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            boxes.append(Box(f"line {number}", level, corners))
    _raise_if_any(faults)
    return [Picture("", None, boxes)]


def read_voc(content: bytes, levels: Sequence[str]) -> list[Picture]:
    """Return the one picture of a Pascal VOC file. `levels` does not matter: VOC names its classes.

    Raises:
        FormatError: no XML, another root than `annotation`, no size, an object without a box or of no lumbar level.
    """
    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise FormatError(f"the file is no plain XML ({type(error).__name__})") from None
    size = [_number(root, f"size/{side}") for side in ("width", "height")]
    if root.tag != "annotation" or not all(size):
        raise FormatError("the file is no Pascal VOC: annotation/size/width and height must be pixels")
    boxes: list[Box] = []
    faults: list[str] = []
    for number, each in enumerate(root.findall("object"), start=1):
        place = f"object {number}"
        level = _level_of_name(each.findtext("name") or "")
        ends = [_number(each, f"bndbox/{end}") for end in ("xmin", "ymin", "xmax", "ymax")]
        if level is None:
            faults.append(f"{place}: name {_no_level(each.findtext('name') or '')}")
        elif None in ends:
            faults.append(f"{place}: bndbox lacks a number among xmin, ymin, xmax, ymax")
        else:
            xmin, ymin, xmax, ymax = (end or 0.0 for end in ends)
            boxes.append(Box(place, level, (xmin - 1, ymin - 1, xmax, ymax)))
    _raise_if_any(faults)
    return [Picture("", (int(size[0] or 0), int(size[1] or 0)), boxes)]


Finite = Annotated[float, Field(allow_inf_nan=False)]


class _CocoImage(BaseModel):
    id: int | str
    file_name: str
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class _CocoAnnotation(BaseModel):
    image_id: int | str
    category_id: int | str
    bbox: tuple[Finite, Finite, Finite, Finite]


class _CocoCategory(BaseModel):
    id: int | str
    name: str


class _Coco(BaseModel):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory]


def read_coco(content: bytes, levels: Sequence[str]) -> list[Picture]:
    """Return the pictures of a COCO file that have boxes. `levels` does not matter: COCO names its classes.

    Raises:
        FormatError: no JSON, a key of COCO's object detection is missing, an annotation of no lumbar level or picture.
    """
    try:
        coco = _Coco.model_validate_json(content)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors()[:5]]
        raise FormatError(f"the file is no COCO object detection ({'; '.join(faults)})") from None
    names = {each.id: each.name for each in coco.categories}
    boxes: dict[int | str, list[Box]] = {each.id: [] for each in coco.images}
    faults = []
    for number, each in enumerate(coco.annotations, start=1):
        place = f"annotation {number}"
        level = _level_of_name(names.get(each.category_id, ""))
        if level is None:
            faults.append(f"{place}: its category {_no_level(names.get(each.category_id, ''))}")
        elif each.image_id not in boxes:
            faults.append(f"{place}: its image_id is not among the images")
        else:
            left, top, width, height = each.bbox
            boxes[each.image_id].append(Box(place, level, (left, top, left + width, top + height)))
    _raise_if_any(faults)
    return [
        # Names may carry a folder, with either slash.
        Picture(PureWindowsPath(each.file_name).name, (each.width, each.height), boxes[each.id])
        for each in coco.images
        if boxes[each.id]
    ]


READERS = {".txt": ("yolo", read_yolo), ".xml": ("voc", read_voc), ".json": ("coco", read_coco)}
FORMATS = tuple(name for name, _ in READERS.values())


def _raise_if_any(faults: list[str]) -> None:
    if faults:
        raise FormatError(*faults)


def _level_of_name(name: str) -> str | None:
    level = word("level", name.strip())
    return level if level in LEVELS else None


def _no_level(name: str) -> str:
    return f"{quotable(name)!r} is no lumbar level; allowed are {', '.join(LEVELS)}"


def _level_of_class(number: float, levels: Sequence[str]) -> str | None:
    known = number.is_integer() and 0 <= number < len(levels)
    return levels[int(number)] if known and levels[int(number)] in LEVELS else None


def _allowed(levels: Sequence[str]) -> str:
    return ", ".join(f"{number} ({level})" for number, level in enumerate(levels) if level in LEVELS)


def _five_numbers(line: str) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(each) for each in line.split())
    except ValueError:
        return None
    return numbers if len(numbers) == 5 and all(map(math.isfinite, numbers)) else None


def _number(parent: Element, path: str) -> float | None:
    try:
        number = float(parent.findtext(path) or "nan")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
