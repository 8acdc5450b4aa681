"""The Mendeley set "Spondylolisthesis Vertebral Landmark": bodies with box and four corners, and no names of levels.

What lives here: its JSON files, and the YOLO pose files that stand in the place of some. What does not: making films
(`films.py`). Its bodies do not always begin at the top one and nobody says which is L1, so each becomes a box of the
class `unnamed`: it counts as a body that is there to be found, and says nothing of levels. Labels that lie in a folder
of their own are found by name.
"""

from pathlib import PurePosixPath

from pydantic import BaseModel, ValidationError

from olvf_assets.commands.collections.download import Download, UnreadableLabelsError, names_of_films, stem, suffix
from olvf_assets.commands.collections.planned import Drawing, Kind, Options, Plan, PlannedFilm, Skipped
from olvf_assets.foundation.vocabulary import UNNAMED_BODY
from olvf_assets.intake.boxes.formats import NUMBER, Corners, Pixels

NUMBERS_OF_A_POSE = 17  # class, box, and four points of x, y, visibility
LABEL_ENDINGS = (".json", ".txt")


class _Bodies(BaseModel):
    boxes: list[tuple[Pixels, Pixels, Pixels, Pixels]]  # left, top, right, bottom in pixels


def read(download: Download, options: Options) -> Plan:
    """Return the plan for a download of that set; a film without labels is made without boxes."""
    plan = Plan(skipped=list(download.skipped))
    names = names_of_films(download.pictures)
    for path in download.pictures:
        labels = _labels_of(download, path)
        drawing = None
        if labels is None:
            plan.skipped.append(Skipped(path, "no_boxes", "no labels of its name; the film is made without boxes"))
        else:
            try:
                drawing = drawing_of(download.text(labels), is_json=suffix(labels) == ".json")
            except (ValueError, UnreadableLabelsError) as error:
                plan.skipped.append(Skipped(labels, "boxes_not_taken", f"{error}; the film is made without boxes"))
        lateral = not options.silent
        plan.films.append(PlannedFilm(path, names[path], f"SVL-{names[path]}", lateral=lateral, drawing=drawing))
    return plan


def _labels_of(download: Download, path: str) -> str | None:
    """Return the labels beside a picture, or those of its name in the folder that is called as its own."""
    if (beside := download.beside(path, LABEL_ENDINGS)) is not None:
        return beside
    others = [
        other for other in download.by_stem[stem(path).casefold()] if suffix(other) in LABEL_ENDINGS
    ]  # images/train/a.jpg, labels/train/a.json
    part = PurePosixPath(path).parent.name
    alike = [other for other in others if PurePosixPath(other).parent.name == part]
    found = sorted(alike or others, key=lambda other: (suffix(other) != ".json", other))
    return found[0] if found and (alike or len(others) == 1) else None


def drawing_of(text: str, *, is_json: bool) -> Drawing:
    """Return the bodies that a file of labels draws.

    Raises:
        ValueError: says what is wrong with it.
    """
    if is_json:
        try:
            boxes = _Bodies.model_validate_json(text).boxes
        except ValidationError:
            raise ValueError('is not {"boxes": [[left, top, right, bottom], ...]}') from None
        return Drawing([(UNNAMED_BODY, box) for box in boxes])
    found: list[tuple[str, Corners]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) not in (5, NUMBERS_OF_A_POSE) or not all(map(NUMBER.fullmatch, words)):
            raise ValueError(f"line {number} is not class, box and four points")
        x, y, width, height = map(float, words[1:5])
        found.append((UNNAMED_BODY, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)))
    return Drawing(found, shares=True)


MENDELEY = Kind(
    "mendeley-spondylolisthesis",
    "Spondylolisthesis Vertebral Landmark (Mendeley Data)",
    "CC BY 4.0 (Reyes, Mendeley Data); 508 of its 716 films are BUU-LSPINE's, whose own terms may hold for them, too",
    "doi.org/10.17632/5jdfdgp762.1",
    "lateral films with boxes of bodies that nobody named; about 500 of them are films of BUU-LSPINE: import that "
    "first and say --apart-from its folder",
    read,
)
