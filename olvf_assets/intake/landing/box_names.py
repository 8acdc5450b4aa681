"""Which files of a landing folder belong to drawn boxes, by their place and name.

What lives here: the folders and file names that labelling programs write (labelImg, Darknet, ultralytics, Roboflow,
Label Studio, CVAT). What does not: other files of a landing folder (`landing`), what stands in these (`intake.boxes`).
"""

import re
from pathlib import PurePosixPath
from typing import Literal

BOXES_FOLDER = "boxes"
# Names of folders of box files, in any case, beside films/ or at any depth below it.
BOX_FOLDERS = frozenset(
    {BOXES_FOLDER, "box", "labels", "label", "annotations", "annotation", "obj_train_data", "obj_valid_data"}
)
BOX_SUFFIXES = (".txt", ".xml", ".json")  # YOLO, Pascal VOC, COCO
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")

# Files that say what a YOLO class number means, for the box files beside and below them.
LINE_LISTS = ("classes.txt", "predefined_classes.txt", "obj.names", "_darknet.labels")  # a class a line
LINE_LIST_SUFFIX = ".names"  # Darknet calls it as it likes
YAML_LISTS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")  # ultralytics, Roboflow
JSON_LISTS = ("notes.json",)  # Label Studio
DARKNET_DATA = "obj.data"  # says where the list is
# Texts that programs write beside boxes: lists of pictures and what the program says of itself.
BESIDE_BOXES = re.compile(r"(?:train|val|valid|test|readme[.\w]*)\.txt", re.IGNORECASE)

BoxRole = Literal["boxes", "classes", "picture", "beside"]


def in_box_folder(path: str) -> bool:
    """Return whether a path (posix, relative to the landing folder) lies in a folder of boxes."""
    return any(part.casefold() in BOX_FOLDERS for part in PurePosixPath(path).parts[:-1])


def box_role(path: str) -> BoxRole | None:
    """Return what a path (posix, relative to the landing folder) is among the boxes.

    Returns:
        "boxes": a file of boxes. "classes": a list of class names, in a folder of boxes or at the top.
        "picture": the picture that was labelled, beside its boxes. "beside": what a labelling program writes with them.
        The last two are left alone. None: it has nothing to do with boxes.
    """
    parts = PurePosixPath(path)
    within = in_box_folder(path)
    if is_class_list(parts.name) and (within or len(parts.parts) == 1):
        return "classes"
    if not within:
        return None
    if BESIDE_BOXES.fullmatch(parts.name):
        return "beside"
    if parts.suffix.lower() in BOX_SUFFIXES:
        return "boxes"
    return "picture" if parts.suffix.lower() in PICTURE_SUFFIXES else None


def is_class_list(name: str) -> bool:
    """Return whether a file name is one under which labelling programs list their classes."""
    name = name.casefold()
    return name in (*LINE_LISTS, *YAML_LISTS, *JSON_LISTS, DARKNET_DATA) or name.endswith(LINE_LIST_SUFFIX)
