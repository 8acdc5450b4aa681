"""Plain folders of pictures, with or without boxes as labelling programs write them (YOLO, Pascal VOC, COCO).

What lives here: which box file belongs to which picture. What does not: the formats and class lists themselves
(`intake.boxes`), making films (`films.py`). Boxes that intake would refuse, and with them the whole hospital, are left
out here, picture by picture, with the reason.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from olvf_assets.commands.collections.download import Download, UnreadableLabelsError, names_of_films, stem, suffix
from olvf_assets.commands.collections.planned import Drawing, Kind, Options, Plan, PlannedFilm, Skipped
from olvf_assets.intake.boxes.classes import ClassListError, ClassLists
from olvf_assets.intake.boxes.films_of_pictures import NAMELESS_FOLDERS
from olvf_assets.intake.boxes.formats import READERS, FormatError, Picture
from olvf_assets.intake.landing.box_names import is_class_list

SPLITS = frozenset({"train", "val", "valid", "test"})  # folders that do tell pictures apart, in a download


def read(download: Download, options: Options) -> Plan:
    """Return the plan for a folder of pictures."""
    plan = Plan(skipped=list(download.skipped))
    names = names_of_films(download.pictures)
    drawings = _drawings(download, plan)
    for path in download.pictures:
        folder = str(PurePosixPath(path).parent)
        patient = folder if options.folder_is_patient and folder != "." else names[path]
        plan.films.append(
            PlannedFilm(
                path, names[path], patient, lateral=options.lateral and not options.silent, drawing=drawings.get(path)
            )
        )
    return plan


def _drawings(download: Download, plan: Plan) -> dict[str, Drawing]:
    """Return what is drawn on each picture; of two files that draw on one picture neither counts."""
    pictures: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    anywhere: dict[str, list[str]] = defaultdict(list)
    for path in download.pictures:
        for name in {stem(path).casefold(), PurePosixPath(path).name.casefold()}:
            pictures[_folders(path), name].append(path)
            anywhere[name].append(path)
    found: dict[str, Drawing] = {}
    drawn_in: dict[str, str] = {}
    for file, picture in _drawn_pictures(download, plan, set(anywhere)):
        place = str(PurePosixPath(file).parent / picture.name.lstrip("/")) if picture.name else file
        name = PurePosixPath(place).name.casefold() if picture.name else stem(place).casefold()
        own = pictures.get((_folders(place), name)) or anywhere.get(name, [])
        if len(own) != 1:
            why = "no picture is" if not own else f"{len(own)} pictures are"
            if picture.boxes or not own:
                plan.skipped.append(Skipped(file, "boxes_without_a_picture", f"{why} called as these boxes"))
            continue
        (path,) = own
        if path in drawn_in:
            found.pop(path, None)
            plan.skipped.append(Skipped(file, "drawn_twice", f"{drawn_in[path]} draws on the same picture; keep one"))
            continue
        drawn_in[path] = file
        boxes = [(box.level, box.corners) for box in picture.boxes]
        found[path] = Drawing(boxes, picture.size_px, shares=picture.size_px is None)
    return found


def _drawn_pictures(download: Download, plan: Plan, names: set[str]) -> Iterator[tuple[str, Picture]]:
    """Yield every drawn picture with the file that draws it; texts that are called as no picture are none."""
    lists = {path: path for path in download.paths if is_class_list(PurePosixPath(path).name)}
    classes = ClassLists(lists, download.content)
    for path in download.paths:
        if suffix(path) not in READERS or path in lists:
            continue
        box_format, reader = READERS[suffix(path)]
        if box_format == "yolo" and stem(path).casefold() not in names:
            continue  # README.txt, licence.txt, train.txt
        try:
            levels = classes.levels(path) if box_format == "yolo" else None
            for picture in reader(download.content(path), levels):
                yield path, picture
        except (FormatError, ClassListError, UnreadableLabelsError) as error:
            more = f" (and {len(error.args) - 1} more)" if len(error.args) > 1 else ""
            plan.skipped.append(Skipped(path, "boxes_not_taken", f"{error.args[0]}{more}"))


def _folders(path: str) -> tuple[str, ...]:
    """Return the folders of a path that tell pictures apart, in small letters."""
    folders = (part.casefold() for part in PurePosixPath(path).parts[:-1])
    return tuple(part for part in folders if part in SPLITS or part not in NAMELESS_FOLDERS)


PICTURES = Kind(
    "pictures",
    "a folder of pictures",
    "whatever the pictures' owner says",
    "wherever you have them from",
    "films with boxes of L1 to L5, T1 to T12 and S1 as YOLO, Pascal VOC or COCO have them; the picture must tell "
    "whether it is a lateral lumbar film, unless you say --lateral",
    read,
)
