"""A folder of drafts: pictures, label files and the order in which to look at them.

What lives here: what lies in the folder, writing it whole or not at all, going on after a kill, and the refusal to
write over what a person has changed. What does not: the content of label files (`label_files.py`), the memory of what
was proposed (`remembered.py`).

Names are the place in the order of doubt and the film's pseudonym, so that a file dropped back finds its film
(`intake.boxes.films_of_pictures`) and tells nobody whose it is.
"""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from olvf_assets.detection.drafts.label_files import CLASS_LIST, LabelFormat, Named, label_files
from olvf_assets.detection.drafts.proposals import Draft
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import reported
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage.artifacts import ArtifactStore, read_if_whole, read_json, remove, sync, write_atomically

WRITTEN = ".drafts.json"  # what was written, by which a person's changes are told
IMAGES = "images"
SHOWN = 3
README = """Draft boxes of {institution}, proposed by a detector. Research use only.

Look at the films in the order of their numbers: the doubtful ones come first, order.csv says why. Correct the boxes,
or leave them where they are right. The levels are L1 to L5, from head to foot; a level that is not to be seen has none.

{programs}

Give back ONE of the formats: copy {given_back}, or what the program exports, below
{boxes}
Keep the file names. A film that already has a box file there is refused until one of the two is taken away.
Files that come back as they are count as drawn; the table draft_corrections says which.
"""
PROGRAMS = {
    "yolo": """labelImg (YOLO)   labelImg images classes.txt labels      say the class list, or labelImg uses its own
CVAT              make a task of the pictures in images/, then Upload annotations: cvat/yolo_1.1.zip as YOLO 1.1
Label Studio      label-studio-converter import yolo -i THIS_FOLDER -o tasks.json""",
    "voc": """labelImg (VOC)    labelImg images classes.txt annotations
CVAT              make a task of the pictures in images/, then Upload annotations: cvat/pascal_voc_1.1.zip as
                  PASCAL VOC 1.1""",
    "coco": """CVAT              make a task of the pictures in images/, then Upload annotations: coco.json as COCO 1.0
Label Studio      label-studio-converter import coco -i coco.json -o tasks.json""",
}
GIVEN_BACK = {"yolo": "labels/", "voc": "annotations/", "coco": "coco.json"}
Report = Callable[[str], None]


class DraftFolderError(OlvfError):
    """The folder holds what may not be written over: a person's corrections, or something else than drafts."""


def named(drafts: Sequence[Draft]) -> dict[str, Draft]:
    """Return the drafts by the name that picture and label files bear, in the order given."""
    return {f"{number:04d}_{draft.film_id}": draft for number, draft in enumerate(drafts, start=1)}


def write_drafts(
    drafts: Named,
    out: Path,
    formats: Sequence[LabelFormat],
    store: ArtifactStore,
    *,
    institution: str,
    boxes_folder: Path,
    before_in_place: Callable[[], None],
    report: Report,
) -> bool:
    """Write a folder of drafts, which appears under its name whole; return whether it had to be written.

    Pictures that a killed call brought are not copied again. A folder of earlier drafts that nobody has changed is
    replaced; one that is the same is left as it is.

    Args:
        drafts: what `named` returns.
        out: the folder.
        formats: of the label files.
        store: where the pictures lie.
        institution: for the text beside the files.
        boxes_folder: where corrected files go.
        before_in_place: called when all is written and before the folder bears its name.
        report: told of progress.

    Raises:
        DraftFolderError: see there.
        DamagedPictureError: a film's picture is missing or damaged.
        DiskFullError, WriteFaultError: the disk of `out`.
    """
    about = README.format(
        institution=institution,
        boxes=boxes_folder,
        programs="\n".join(PROGRAMS[each] for each in formats),
        given_back=" or ".join(GIVEN_BACK[each] for each in formats),
    )
    files = {"order.csv": _order(drafts), "classes.txt": CLASS_LIST.encode(), "README.txt": about.encode()}
    for each in formats:
        files |= label_files(drafts, each)
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())}
    said = {"files": digests, "images": sorted(f"{name}.png" for name in drafts)}
    if refuse_changed(out) == said:
        before_in_place()
        return False
    partial = out.with_name(f".{out.name}.partial")
    with write_faults_named(out):
        _bring_pictures(drafts, partial / IMAGES, store, report)
        _put_files(files, partial, said)
        before_in_place()
        refuse_changed(out)  # copying took a while
        _in_place(partial, out)
    return True


def refuse_changed(out: Path) -> dict[str, object] | None:
    """Return what was written to a folder of drafts that nobody has changed since; None if there is none yet.

    Raises:
        DraftFolderError: something in it was changed, added or taken away, or it is no folder of drafts.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    said = read_if_whole(out / WRITTEN, read_json) if out.is_dir() else None
    if said is None:
        raise DraftFolderError(f"{out} is no folder of drafts; name another one with --out")
    then = {**said["files"], **{f"{IMAGES}/{name}": "" for name in said["images"]}}
    now = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if not path.is_dir()}
    now.pop(WRITTEN)
    changed = sorted(set(then) ^ set(now))
    changed += [path for path, digest in said["files"].items() if path in now and _sha256(now[path]) != digest]
    if changed:
        shown = ", ".join(changed[:SHOWN]) + (", ..." if len(changed) > SHOWN else "")
        raise DraftFolderError(
            f"{out}: {len(changed)} files are not as they were written ({shown}). Somebody has worked there, and it "
            "stays as it is: give the corrected files back and move the folder away, or name another one with --out"
        )
    return said


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _order(drafts: Named) -> bytes:
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["number", "picture", "film_id", "state", "levels", "lowest_confidence", "margin", "reason"])
    for number, (name, draft) in enumerate(drafts.items(), start=1):
        levels = " ".join(box.level for box in draft.boxes)
        figures = ["" if each is None else f"{each:.2f}" for each in (draft.lowest_confidence, draft.margin)]
        table.writerow([number, f"{name}.png", draft.film_id, draft.state, levels, *figures, draft.reason])
    return text.getvalue().encode()


def _bring_pictures(drafts: Named, folder: Path, store: ArtifactStore, report: Report) -> None:
    """Copy the films' pictures, and remove those of an earlier try that are not wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"{name}.png": draft for name, draft in drafts.items()}
    for path in folder.iterdir():
        if path.name not in wanted:
            remove(path)
    for name, draft in reported(wanted.items(), len(wanted), "pictures", report):
        _bring(folder / name, draft.image_path, store)


def _bring(place: Path, image_path: str, store: ArtifactStore) -> None:
    if not store.has_image(image_path):
        store.load_image(image_path)  # says what is wrong with it
    origin = store.at_hand(image_path)
    if not place.exists() or place.stat().st_size != origin.stat().st_size:
        write_atomically(place, lambda temporary: shutil.copyfile(origin, temporary))


def _put_files(files: Mapping[str, bytes], folder: Path, said: Mapping[str, object]) -> None:
    for path in folder.iterdir():
        if path.name != IMAGES:
            remove(path)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sync(path)
    write_atomically(folder / WRITTEN, lambda path: path.write_text(json.dumps(said), encoding="utf-8"))


def _in_place(partial: Path, out: Path) -> None:
    """Give a finished folder its name. A kill between the two renames leaves the finished one beside it."""
    old = out.with_name(f".{out.name}.old")
    remove(old)
    if out.exists():
        os.replace(out, old)
    os.replace(partial, out)
    sync(out.parent)
    remove(old)
