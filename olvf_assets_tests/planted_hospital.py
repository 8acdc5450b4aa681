"""A hospital whose every field holds something that names a person: the headers of its films, public, private and
nested, its file names, its sheets, its box files, its description. Whatever it holds can be told by `IDENTIFIER`.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import xlsxwriter
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

from olvf_assets.intake.headers.view_rules import DESCRIPTIONS
from olvf_assets.phantom.hospital import RECORD_FILE, TRUTH_FILE, write_hospital
from olvf_assets.phantom.settings import ImageCounts, PhantomSettings, SyntheticInstitution

NAME = "山田花子"
DAY, TIME, UID_ROOT = "19070319", "134917.271828", "1.2.826.0.1.3680043.999.777777"
PATIENT_IDS = ("8870001", "8870002", "8870003")
IDENTIFIER = re.compile(
    # The last two as JSON writes the name. Digits within a longer number, or behind a point, are there by chance: parts
    # of a second, times of files in nanoseconds.
    rf"zq\d{{5}}x|{re.escape(UID_ROOT)}|1907-?0?3-?19|(?<![\d.])(?:19070319)?134917(?!\d)|(?<![\d.])887000[123](?!\d)|山田|花子|\\u5c71\\u7530|\\u82b1\\u5b50".encode(),
    re.IGNORECASE,
)
# What decides whether a film is a lateral lumbar one and how it is shown stays as it is.
DECIDES = {
    "SOPClassUID", "SpecificCharacterSet", "Modality", "BodyPartExamined", "ViewPosition", "PatientOrientation",
    "PhotometricInterpretation", "PresentationLUTShape", "VOILUTFunction", "BurnedInAnnotation", "PatientID",
    "PresentationIntentType",
}  # fmt: skip
# Each of these alone makes a film one that is refused.
FAULTS = ("Modality", "PhotometricInterpretation", "ViewPosition", "BodyPartExamined")
_numbers = itertools.count()


def token() -> str:
    """Return another word that names a person."""
    return f"ZQ{next(_numbers):05d}X"


TEXT: dict[str, Callable[[], str]] = {
    **dict.fromkeys(("AE", "CS", "LO", "SH"), token),
    **dict.fromkeys(("LT", "ST", "UC", "UT"), lambda: f"{token()}, {NAME}"),
    "PN": lambda: f"{token()}^{token()}={NAME}",
    "UI": lambda: f"{UID_ROOT}.{next(_numbers)}",
    "UR": lambda: f"https://{token()}.example",
    "DA": lambda: DAY,
    "DT": lambda: DAY + TIME,
    "TM": lambda: TIME,
}


def fields() -> Iterator[tuple[int, str]]:
    """Yield tag and value representation of every attribute of the dictionary that holds text, a UID or a date."""
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr in TEXT and tag >> 16 > 0x0006 and keyword not in DECIDES:
            yield tag, vr


def plant(dataset: Dataset, patient_id: str) -> None:
    """Fill every field of a film's header, of an item in a sequence and of an item within that, and private fields."""
    inner, outer = Dataset(), Dataset()
    for each in (inner, outer, dataset):
        for tag, vr in fields():
            each.add_new(tag, vr, TEXT[vr]())
        private = each.private_block(0x0009, token(), create=True)
        private.add_new(0x01, "LO", token())
        private.add_new(0x02, "PN", f"{NAME}^{token()}")
        each.PatientID = patient_id
    outer.RequestAttributesSequence = [inner]
    dataset.RequestAttributesSequence = [outer]
    dataset.private_block(0x0011, token(), create=True).add_new(0x01, "SQ", [outer])
    meta = dataset.file_meta
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.ImplementationVersionName = meta.SourceApplicationEntityTitle = token()
    meta.PrivateInformationCreatorUID, meta.PrivateInformation = f"{UID_ROOT}.1", token().encode()


THREE_FILMS = ImageCounts(
    patients_fresh=2, patients_old=1, films=3, thoracic_films=0, old_beside_fresh=0,
    normal={"L1": 0, "L2": 3, "L3": 3, "L4": 3, "L5": 3},
    old={"L1": 1, "L2": 0, "L3": 0, "L4": 0, "L5": 0},
    fresh={"L1": 2, "L2": 0, "L3": 0, "L4": 0, "L5": 0},
)  # fmt: skip


def write_planted_hospital(landing: Path) -> list[str]:
    """Write `landing/clinic` with three good films, four faulty ones, sheets and boxes; return the real dates."""
    folder = landing / "clinic"
    site = SyntheticInstitution(
        role="external", patients_normal=0, patients_fresh=2, patients_old=1, excluded_fresh={}, excluded_old={},
        images=THREE_FILMS, reread_patients=0, plate_mm=(120.0, 170.0), pixel_mm=0.4,
    )  # fmt: skip
    write_hospital(folder, "clinic", PhantomSettings(institutions={"clinic": site}), seed=1, workers=1)
    for own in (RECORD_FILE, TRUTH_FILE):
        (folder / own).unlink()
    (folder / "institution.toml").write_text(
        'name = "Clinic"\nrole = "external"\n'
        f'country = "{token()}"\ncontact = "{token()}"\nnote = "{token()} {NAME}"\n',
        encoding="utf-8",
    )
    films = sorted((folder / "films").rglob("*.dcm"))
    new_ids = {path.parent.name: new for path, new in zip(films, PATIENT_IDS, strict=True)}
    stems = [_plant_film(path, new_ids[path.parent.name]) for path in films]
    _plant_boxes(folder / "boxes", [path.stem for path in films], stems)
    (folder / "films" / f"{token()} {NAME}.pdf").write_text(f"a letter about {NAME}", encoding="utf-8")
    return _plant_sheets(folder, new_ids)


def _plant_film(path: Path, patient_id: str) -> str:
    """Plant a film's header and name; the first patient's is there with another fault in each copy. Return its stem."""
    dataset = pydicom.dcmread(path)
    plant(dataset, patient_id)
    stem = f"{patient_id}_{token()}_{NAME}_{DAY}"
    target = path.parent.with_name(f"{patient_id} {token()}") / f"{stem}.dcm"
    target.parent.mkdir()
    dataset.save_as(target)
    if patient_id == PATIENT_IDS[0]:
        for keyword in FAULTS:
            faulty = pydicom.dcmread(target)
            for other in ("ViewCodeSequence", "AnatomicRegionSequence", *DESCRIPTIONS):
                if other in faulty:  # would contradict the faulty attribute, so that the picture would decide
                    delattr(faulty, other)
            setattr(faulty, keyword, token())
            faulty.SOPInstanceUID = faulty.file_meta.MediaStorageSOPInstanceUID = f"{UID_ROOT}.{next(_numbers)}"
            faulty.save_as(target.with_name(f"{token()}.dcm"))
    path.unlink()
    path.parent.rmdir()
    return stem


def _plant_sheets(folder: Path, new_ids: dict[str, str]) -> list[str]:
    """Add columns that intake does not know to each sheet, `subjects` as a workbook; return the films' dates."""
    for name in ("subjects", "readers", "conditions"):
        path = folder / f"{name}.csv"
        text = path.read_text()
        for old, new in new_ids.items():
            text = text.replace(old, new)
        header, *rows = csv.reader(io.StringIO(text))
        if name == "conditions":
            rows = [[PATIENT_IDS[2], "L2", "", "poor_image_quality", "crop", ""]]
        lines = [[*header, "氏名", "備考", "生年月日"], *([*row, NAME, token(), DAY] for row in rows)]
        path.write_text("\n".join(",".join(line) for line in lines) + "\n", encoding="cp932")
        if name == "subjects":
            path.unlink()
            with xlsxwriter.Workbook(path.with_suffix(".xlsx")) as book:
                book.set_properties({"author": NAME, "comments": token()})
                sheet = book.add_worksheet(NAME)
                for number, line in enumerate(lines):
                    sheet.write_row(number, 0, line)
            days = [row[header.index(each)] for row in rows for each in ("film_date", "onset_date", "mri_date")]
    return [day for day in days if day]


def _plant_boxes(folder: Path, old_stems: list[str], stems: list[str]) -> None:
    """Draw the first film's boxes as YOLO, the second's as Pascal VOC, the third's as COCO."""
    width, height = 300, 425
    corners = [
        [
            (int(level), (x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
            for level, x, y, w, h in (map(float, line.split()) for line in _lines(folder / f"{stem}.txt"))
            if h * height > 2
        ]
        for stem in old_stems
    ]
    (folder / f"{old_stems[0]}.txt").rename(folder / f"{stems[0]}.txt")
    _keep_drawn(folder / f"{stems[0]}.txt")
    objects = "".join(
        f"<object><name>L{level + 1}</name><pose>{token()}</pose><bndbox><xmin>{x + 1:.0f}</xmin>"
        f"<ymin>{y + 1:.0f}</ymin><xmax>{x + w:.0f}</xmax><ymax>{y + h:.0f}</ymax></bndbox></object>"
        for level, x, y, w, h in corners[1]
    )
    (folder / f"{stems[1]}.xml").write_text(
        f"<annotation><folder>{token()}</folder><filename>{token()}</filename><path>{NAME}</path><source><annotator>"
        f"{token()}</annotator></source><size><width>{width}</width><height>{height}</height></size>{objects}"
        "</annotation>",
        encoding="utf-8",
    )
    names = (f"{stems[2]}.png", f"{token()} {NAME}.png")
    size = {"width": width, "height": height}
    content = {
        "info": {"contributor": token(), "description": NAME},
        "licenses": [{"name": token()}],
        "images": [{"id": i, "file_name": f"{token()}/{name}", **size} for i, name in enumerate(names)],
        "annotations": [
            {"image_id": image, "category_id": level, "bbox": [x, y, w, h], "note": token()}
            for image in (0, 1)
            for level, x, y, w, h in corners[2]
        ],
        "categories": [{"id": i, "name": f"L{i + 1}", "supercategory": token()} for i in range(5)],
    }
    (folder / f"{token()}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    for stem in old_stems[1:]:
        (folder / f"{stem}.txt").unlink()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _keep_drawn(path: Path) -> None:
    """Leave out boxes of vertebrae beyond the small plate, which have no height."""
    path.write_text("\n".join(line for line in _lines(path) if float(line.split()[4]) > 0.005) + "\n")
