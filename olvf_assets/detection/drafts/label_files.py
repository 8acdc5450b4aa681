"""Drafts as label files: YOLO, Pascal VOC and COCO, and the archives that CVAT imports.

What lives here: from drafts to the content of files. What does not: where they are put and when (`written.py`), reading
them (`intake.boxes.formats`, by which each of these comes back as it went out).

- YOLO: `labels/NAME.txt` and the list of classes, beside the labels as labelImg wants it and above them as Label Studio
  does. Fifteen digits, so that whole pixels stay whole pixels.
- Pascal VOC: `annotations/NAME.xml`, pixels counted from 1, both ends included.
- COCO: one file about all pictures, those without boxes as well.
"""

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Literal, get_args
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from olvf_assets.detection.drafts.proposals import Draft
from olvf_assets.foundation.vocabulary import LEVELS

LabelFormat = Literal["yolo", "voc", "coco"]
LABEL_FORMATS: tuple[LabelFormat, ...] = get_args(LabelFormat)
CLASS_LIST = "".join(f"{level}\n" for level in LEVELS)
SOME_DAY = (2000, 1, 1, 0, 0, 0)  # equal drafts give equal archives
Named = Mapping[str, Draft]  # by the name that picture and label file bear, without ending


def label_files(drafts: Named, label_format: LabelFormat) -> dict[str, bytes]:
    """Return the files of one format, content by path (posix, relative)."""
    return {"yolo": _yolo_files, "voc": _voc_files, "coco": _coco_files}[label_format](drafts)


def yolo(draft: Draft) -> str:
    """Return a film's boxes as YOLO lines; no line for a film without a box."""
    lines = []
    for box in draft.boxes:
        across, down = 2 * draft.width_px, 2 * draft.height_px
        x, y = (box.x0_px + box.x1_px) / across, (box.y0_px + box.y1_px) / down
        width, height = (box.x1_px - box.x0_px) / draft.width_px, (box.y1_px - box.y0_px) / draft.height_px
        number = [str(each) for each in LEVELS].index(box.level)
        lines.append(f"{number} {x:.15f} {y:.15f} {width:.15f} {height:.15f}\n")
    return "".join(lines)


def voc(name: str, draft: Draft) -> str:
    """Return a film's boxes as Pascal VOC, as labelImg writes it."""
    root = Element("annotation")
    _texts(root, folder="images", filename=f"{name}.png")
    size = SubElement(root, "size")
    _texts(size, width=draft.width_px, height=draft.height_px, depth=1)
    _texts(root, segmented=0)
    for box in draft.boxes:
        each = SubElement(root, "object")
        _texts(each, name=box.level, pose="Unspecified", truncated=0, difficult=0)
        ends = SubElement(each, "bndbox")
        _texts(ends, xmin=box.x0_px + 1, ymin=box.y0_px + 1, xmax=box.x1_px, ymax=box.y1_px)
    indent(root, "\t")
    return tostring(root, encoding="unicode") + "\n"


def coco(drafts: Named) -> str:
    """Return the boxes of all films as COCO object detection."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, draft) in enumerate(drafts.items(), start=1):
        images.append({"id": number, "file_name": f"{name}.png", "width": draft.width_px, "height": draft.height_px})
        for box in draft.boxes:
            width, height = box.x1_px - box.x0_px, box.y1_px - box.y0_px
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": [str(each) for each in LEVELS].index(box.level) + 1,
                    "bbox": [box.x0_px, box.y0_px, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    categories = [{"id": number, "name": level} for number, level in enumerate(LEVELS, start=1)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}, indent=1) + "\n"


def _texts(parent: Element, **texts: object) -> None:
    for tag, text in texts.items():
        SubElement(parent, tag).text = str(text)


def _yolo_files(drafts: Named) -> dict[str, bytes]:
    labels = {f"{name}.txt": yolo(draft) for name, draft in drafts.items()}
    files = {"classes.txt": CLASS_LIST, "labels/classes.txt": CLASS_LIST}
    files |= {f"labels/{name}": text for name, text in labels.items()}
    in_archive = {
        "obj.names": CLASS_LIST,
        "obj.data": f"classes = {len(LEVELS)}\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
        "train.txt": "".join(f"data/obj_train_data/{name}.png\n" for name in drafts),
        **{f"obj_train_data/{name}": text for name, text in labels.items()},
    }
    return _encoded(files) | {"cvat/yolo_1.1.zip": _archive(in_archive)}


def _voc_files(drafts: Named) -> dict[str, bytes]:
    annotations = {f"{name}.xml": voc(name, draft) for name, draft in drafts.items()}
    in_archive = {
        "labelmap.txt": "# label:color_rgb:parts:actions\n" + "".join(f"{level}:::\n" for level in LEVELS),
        "ImageSets/Main/default.txt": "".join(f"{name}\n" for name in drafts),
        **{f"Annotations/{name}": text for name, text in annotations.items()},
    }
    files = {f"annotations/{name}": text for name, text in annotations.items()}
    return _encoded(files) | {"cvat/pascal_voc_1.1.zip": _archive(in_archive)}


def _coco_files(drafts: Named) -> dict[str, bytes]:
    return _encoded({"coco.json": coco(drafts)})


def _encoded(files: Mapping[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in files.items()}


def _archive(files: Mapping[str, str]) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, SOME_DAY), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()
