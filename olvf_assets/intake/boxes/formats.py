"""Box files as labelling programs write them: YOLO text, Pascal VOC XML, COCO JSON.

What lives here: from a file's content to boxes drawn in a picture. What does not: which film the picture shows and
whether the boxes fit it (`boxes`).

- YOLO (labelImg): a line a box, `class x y width height`, centre and size as shares of the picture.
- Pascal VOC (labelImg): pixels counted from 1, both ends included, so that xmin 1 and xmax W span a picture W wide
  (VOC development kit, annotation guidelines).
- COCO: `bbox` is left, top, width, height in pixels, the picture's corner being 0, 0 (cocodataset.org, data format).
"""

import math
import re
from typing import Annotated, NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pydantic import BaseModel, Field, ValidationError

from olvf_assets.foundation.vocabulary import LEVELS, OTHER_VERTEBRAE, UNNAMED_BODY
from olvf_assets.intake.boxes.classes import Levels
from olvf_assets.intake.landing.texts import NotTextError, decoded
from olvf_assets.intake.sheets.problems import quotable
from olvf_assets.intake.sheets.words import word

Corners = tuple[float, float, float, float]  # left, top, right, bottom

LARGEST_PICTURE_BYTES = 4_000_000  # a file about one picture
LARGEST_COCO_BYTES = 64_000_000
# Beyond this a number is no pixel of any picture.
LARGEST_PX = 1_000_000
NUMBER = re.compile(r"[-+]?(?:\d{1,15}\.?\d{0,30}|\.\d{1,30})(?:[eE][-+]?\d{1,2})?", re.ASCII)
PICTURE_NAME = re.compile(r"\S.*\.(?:png|jpe?g|bmp|tiff?|gif|webp|dcm)", re.IGNORECASE)
XML_DECLARATION = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
# Encodings of XML by the names that Japanese programs give them; UTF-8 and UTF-16 tell themselves.
XML_ENCODINGS = {
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932", "ms_kanji": "cp932",
    "windows-31j": "cp932", "ms932": "cp932", "cp932": "cp932", "x-ms-cp932": "cp932", "csshiftjis": "cp932",
    "euc-jp": "euc_jp", "x-euc-jp": "euc_jp", "iso-2022-jp": "iso2022_jp",
    "us-ascii": "ascii", "ascii": "ascii", "iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252",
}  # fmt: skip


class Box(NamedTuple):
    """A box as it is drawn. `place` says where it stands in its file, as "line 3"; `level` may be another vertebra."""

    place: str
    level: str
    corners: Corners


class Picture(NamedTuple):
    """A picture that boxes are drawn in.

    Attributes:
        name: the picture's file name in a file about several pictures, with its folders if it tells them, else "".
        size_px: (width, height); None where corners are shares of the picture and its size is not told.
        boxes: in the order of the file.
    """

    name: str
    size_px: tuple[int, int] | None
    boxes: list[Box]


class FormatError(ValueError):
    """A box file is not what its ending says, or a box of it is no box of a lumbar level (internal)."""


def read_yolo(content: bytes, levels: Levels | None) -> list[Picture]:
    """Return the one picture of a YOLO file.

    Args:
        content: of the file.
        levels: what the class numbers mean; None where no list says so: then 0 to 4 are L1 to L5, and a file with any
            other number is not read.

    Raises:
        FormatError: lists every line that is not five numbers or whose class is no lumbar level.
    """
    boxes: list[Box] = []
    faults: list[str] = []
    known = dict(enumerate(LEVELS)) if levels is None else levels
    lines = _text(content).splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        numbers = _five_numbers(line)
        level = known.get(int(numbers[0])) if numbers and numbers[0].is_integer() else None
        if numbers is None:
            faults.append(f"line {number}: is not five numbers: class, centre x, centre y, width, height")
        elif level is None:
            allowed = ", ".join(f"{each} ({name})" for each, name in sorted(known.items()))
            faults.append(f"line {number}: class {numbers[0]:g} is no lumbar level; allowed are {allowed}")
            if levels is None:
                faults[-1] += "; no list of classes is here: add classes.txt, or the export's data.yaml or obj.names"
        else:
            _, x, y, width, height = numbers
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            boxes.append(Box(f"line {number}", level, corners))
    if faults and {word("level", line.strip()) for line in lines} >= set(LEVELS):
        raise FormatError("the file lists classes and draws no box; call it classes.txt")
    _raise_if_any(faults)
    return [Picture("", None, boxes)]


def is_picture_list(content: bytes) -> bool:
    """Return whether a text is a list of pictures, a file name a line, as programs write beside YOLO files."""
    try:
        lines = [line.strip() for line in _text(content).splitlines() if line.strip()]
    except FormatError:
        return False
    return bool(lines) and all(map(PICTURE_NAME.fullmatch, lines))


def read_voc(content: bytes, levels: Levels | None = None) -> list[Picture]:
    """Return the one picture of a Pascal VOC file. `levels` does not matter: VOC names its classes.

    Raises:
        FormatError: no XML, another root than `annotation`, no size, an object without a box or of no lumbar level.
    """
    root = _xml_root(content)
    size = [_number(root, f"size/{side}") for side in ("width", "height")]
    if root.tag != "annotation" or not all(each and 1 <= each <= LARGEST_PX for each in size):
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


def _xml_root(content: bytes) -> Element:
    """Return the root of an XML file of any encoding listed above."""
    declared = XML_DECLARATION.match(content)
    encoding = declared[1].decode("ascii").casefold() if declared else "utf-8"
    if encoding.replace("_", "-") in ("utf-8", "utf8", "utf-16"):
        text = _text(content)
    elif encoding in XML_ENCODINGS and len(content) <= LARGEST_PICTURE_BYTES:
        try:
            text = content.decode(XML_ENCODINGS[encoding])
        except UnicodeDecodeError:
            raise FormatError("the file is not in the encoding that its first line names; save it as UTF-8") from None
    else:
        raise FormatError("the file's first line names an encoding that is not known, or it is too large; use UTF-8")
    try:
        return fromstring(text)
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise FormatError(f"the file is no plain XML ({type(error).__name__})") from None


Pixels = Annotated[float, Field(ge=-LARGEST_PX, le=LARGEST_PX, allow_inf_nan=False)]
Side = Annotated[int, Field(gt=0, le=LARGEST_PX)]
Name = Annotated[str, Field(max_length=1000)]


class _CocoImage(BaseModel):
    id: int | str
    file_name: Name
    width: Side
    height: Side


class _CocoAnnotation(BaseModel):
    image_id: int | str
    category_id: int | str
    bbox: tuple[Pixels, Pixels, Pixels, Pixels]


class _CocoCategory(BaseModel):
    id: int | str
    name: Name


class _Coco(BaseModel):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory]


def read_coco(content: bytes, levels: Levels | None = None) -> list[Picture]:
    """Return the pictures of a COCO file, also those without boxes. `levels` does not matter: COCO names its classes.

    Raises:
        FormatError: no JSON, a key of COCO's object detection is missing, an annotation of no lumbar level or picture,
            a number that stands for two pictures or two categories.
    """
    try:
        coco = _Coco.model_validate_json(_text(content, LARGEST_COCO_BYTES))
    except ValidationError as error:
        # Of each fault where it is and what is wrong, never the input.
        found = error.errors(include_input=False, include_url=False, include_context=False)[:5]
        faults = [f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg'][:80]}" for each in found]
        raise FormatError(f"the file is no COCO object detection ({'; '.join(faults)})") from None
    names = {each.id: each.name for each in coco.categories}
    boxes: dict[int | str, list[Box]] = {each.id: [] for each in coco.images}
    for what, numbers, parts in (("images", boxes, coco.images), ("categories", names, coco.categories)):
        if len(numbers) < len(parts):
            raise FormatError(f"two {what} have the same id; give each its own")
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
        Picture(each.file_name.replace("\\", "/"), (each.width, each.height), boxes[each.id]) for each in coco.images
    ]


READERS = {".txt": ("yolo", read_yolo), ".xml": ("voc", read_voc), ".json": ("coco", read_coco)}
FORMATS = tuple(name for name, _ in READERS.values())


def _raise_if_any(faults: list[str]) -> None:
    if faults:
        raise FormatError(*faults)


def _level_of_name(name: str) -> str | None:
    level = word("vertebra", name.strip())
    return level if level in (*LEVELS, *OTHER_VERTEBRAE, UNNAMED_BODY) else None


def _no_level(name: str) -> str:
    return f"{quotable(name)!r} is no lumbar level; allowed are {', '.join(LEVELS)}"


def _text(content: bytes, largest: int = LARGEST_PICTURE_BYTES) -> str:
    if len(content) > largest:
        raise FormatError(f"the file has more than {largest} bytes; so many boxes no study has")
    try:
        return decoded(content)
    except NotTextError as error:
        raise FormatError(f"the file is no text ({error}); save it as UTF-8") from None


def _five_numbers(line: str) -> tuple[float, ...] | None:
    words = line.split()
    if len(words) != 5 or not all(map(NUMBER.fullmatch, words)):
        return None
    numbers = tuple(map(float, words))
    return numbers if all(math.isfinite(each) and abs(each) <= LARGEST_PX for each in numbers) else None


def _number(parent: Element, path: str) -> float | None:
    text = (parent.findtext(path) or "").strip()
    number = float(text) if NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) and abs(number) <= LARGEST_PX else None
