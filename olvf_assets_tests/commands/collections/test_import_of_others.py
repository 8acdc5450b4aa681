"""The Mendeley set, VinDr-SpineXR and plain pictures with boxes of three formats."""

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from olvf_assets.commands.collections.planned import Options
from olvf_assets_tests.commands.collections.made_up import (
    BODIES,
    HEIGHT,
    WIDTH,
    TakenIn,
    encoded,
    grey,
    imported,
    mendeley_text,
    png,
    write,
)

LATERAL = Options(lateral=True)


def unnamed(taken: TakenIn) -> list[tuple[float, ...]]:
    """Return the corners of the bodies that nobody named, of all films, from head to foot."""
    boxes = [box for film in taken.drawn.drawn_films["helper_boxes"] for box in film if box["vertebra"] == "unnamed"]
    corners = [tuple(box[each] for each in ("x0_px", "y0_px", "x1_px", "y1_px")) for box in boxes]
    return sorted(corners, key=lambda each: each[1])


# --- the Mendeley set


def test_bodies_without_names_are_there_to_be_found_and_no_level(tmp_path: Path) -> None:
    data = "Dataset/Train/Keypointrcnn_data"
    poses = "".join(yolo(["body"], {"body": body}).rstrip("\n") + " 0.5 0.5 1" * 4 + "\n" for body in BODIES[1:])
    source = write(
        tmp_path / "download",
        {
            f"{data}/images/train/a.jpg": encoded(Image.fromarray(grey("a")), "JPEG"),
            f"{data}/labels/train/a.json": mendeley_text(BODIES[2:]),
            f"{data}/images/val/b.jpg": png("b"),
            f"{data}/labels/val/b.txt": poses,
            "Dataset/Test/c.jpg": png("c"),
            "Dataset/readme.txt": "about the set",
        },
    )
    found = imported("mendeley-spondylolisthesis", source, tmp_path / "hospital")
    assert (found.films, found.drawn_films, found.boxes) == (3, 2, 7)
    assert [each.reason for each in found.skipped] == ["no_boxes"]
    taken = TakenIn(tmp_path / "hospital", tmp_path)
    assert taken.headers["refusal"].to_list() == [None] * 3
    assert taken.drawn.reader_boxes.is_empty()
    for corners, body in zip(unnamed(taken), sorted(BODIES[1:] + BODIES[2:], key=lambda b: b[1]), strict=True):
        assert corners == pytest.approx(body, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "{",
        '{"boxes": [[1, 2, 3]]}',
        '{"boxes": [[1, 2, 3, 1e400]]}',
        '{"boxes": [["a", 2, 3, 4]]}',
        "[" * 99999,
    ],
)
def test_labels_that_are_none_cost_the_boxes_alone(tmp_path: Path, text: str) -> None:
    source = write(tmp_path / "download", {"a.png": png("a"), "a.json": text})
    found = imported("mendeley-spondylolisthesis", source, tmp_path / "hospital")
    assert (found.films, found.drawn_films) == (1, 0)
    assert [(each.path, each.reason) for each in found.skipped] == [("a.json", "boxes_not_taken")]


def test_a_picture_of_another_import_is_left_out_also_when_it_was_saved_anew(tmp_path: Path) -> None:
    buu = {f"LA/{number:04d}-F-050Y1.png": png(str(number)) for number in range(1, 4)}
    imported("buu-lspine", write(tmp_path / "buu", buu), tmp_path / "first")
    darker = Image.fromarray((grey("2") * 0.8 + 10).astype(np.uint8))
    source = write(
        tmp_path / "download",
        {"same.png": png("1"), "anew.jpg": encoded(darker, "JPEG", quality=60), "other.png": png("other")},
    )
    found = imported("mendeley-spondylolisthesis", source, tmp_path / "second", apart_from=(tmp_path / "first",))
    assert found.films == 1
    said = {each.path: (each.reason, each.detail) for each in found.skipped if each.reason != "no_boxes"}
    assert said == {
        "same.png": ("same_picture", "pixel by pixel LA/0001-F-050Y1.png of another import"),
        "anew.jpg": ("nearly_the_same_picture", "as LA/0002-F-050Y1.png of another import"),
    }
    assert [path.name for path in (tmp_path / "second" / "films").rglob("*.dcm")] == ["other.dcm"]


# --- VinDr-SpineXR


LATERAL_LUMBAR = {"ViewPosition": "LL", "BodyPartExamined": "LSPINE"}


def bare_film(name: str, **said: object) -> bytes:
    """Return a DICOM file as its makers left it: pixels, sex and age, and next to nothing else."""
    ds = Dataset()
    ds.PatientSex, ds.PatientAge = "F", "071Y"
    ds.Rows, ds.Columns = HEIGHT, WIDTH
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = (grey(name, kind=np.uint16) // 16).astype("<u2").tobytes()
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    ds.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    ds.preamble = bytes(128)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=False)
    return buffer.getvalue()


def test_films_of_vindr_come_with_what_they_say_and_their_studies(tmp_path: Path) -> None:
    source = write(
        tmp_path / "download",
        {
            "train_images/aa.dicom": bare_film("aa", ImagerPixelSpacing=[0.44, 0.44], **LATERAL_LUMBAR),
            "train_images/bb.dicom": bare_film("bb"),
            "train_images/cc.dicom": b"no DICOM at all",
            "annotations/train.csv": "image_id,study_id,lesion_type,xmin\naa,s1,Osteophytes,1\nbb,s1,No finding,\n",
            "LICENSE.txt": "terms",
        },
    )
    found = imported("vindr-spinexr", source, tmp_path / "hospital")
    assert (found.films, found.drawn_films) == (2, 0)
    assert [(each.path, each.reason) for each in found.skipped] == [("train_images/cc.dicom", "not_a_film")]
    taken = TakenIn(tmp_path / "hospital", tmp_path)
    rows = {row["path"].rsplit("/", 1)[1]: row for row in taken.headers.sort("path").rows(named=True)}
    assert [row["refusal"] for row in rows.values()] == [None, None]
    assert sorted(str(row["pixel_mm"]) for row in rows.values()) == ["0.44", "None"]
    assert {row["patient_id"] for row in rows.values()} == {taken.headers["patient_id"][0]}
    assert set(taken.headers["age_years"]) == {71}
    assert sorted(map(str, taken.headers["view"])) == ["None", "neutral"]  # of the second the picture must tell
    assert taken.headers["film_id"].n_unique() == 2


# --- plain pictures


def yolo(names: list[str], boxes: dict[str, tuple[float, float, float, float]]) -> str:
    """Return a YOLO file."""
    return "".join(
        f"{names.index(name)} {(x0 + x1) / 2 / WIDTH} {(y0 + y1) / 2 / HEIGHT} "
        f"{(x1 - x0) / WIDTH} {(y1 - y0) / HEIGHT}\n"
        for name, (x0, y0, x1, y1) in boxes.items()
    )


LEVELS = [f"L{number}" for number in range(1, 6)]
NAMED = dict(zip(LEVELS, BODIES, strict=True))


def coco(files: list[str], scale: float = 1.0) -> str:
    """Return a COCO file that draws the five bodies in some pictures, of a copy `scale` times as large."""
    return json.dumps(
        {
            "images": [
                {"id": n, "file_name": name, "width": round(WIDTH * scale), "height": round(HEIGHT * scale)}
                for n, name in enumerate(files)
            ],
            "annotations": [
                {"image_id": n, "category_id": m, "bbox": [scale * side for side in (x0, y0, x1 - x0, y1 - y0)]}
                for n in range(len(files))
                for m, (x0, y0, x1, y1) in enumerate(BODIES)
            ],
            "categories": [{"id": 99, "name": "bone"}, *({"id": m, "name": name} for m, name in enumerate(LEVELS))],
        }
    )


UPRIGHT, LYING = '"width": 240, "height": 400', '"width": 400, "height": 240'
VOC = "<annotation><size><width>{}</width><height>{}</height></size>{}</annotation>"
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


def voc(boxes: dict[str, tuple[float, float, float, float]]) -> str:
    """Return a Pascal VOC file."""
    objects = [OBJECT.format(name, x0 + 1, y0 + 1, x1, y1) for name, (x0, y0, x1, y1) in boxes.items()]
    return VOC.format(WIDTH, HEIGHT, "".join(objects))


@pytest.mark.parametrize(
    "labels",
    [
        {"a.txt": yolo(LEVELS, NAMED)},
        {"labels/a.txt": yolo(["S1", *LEVELS[::-1]], NAMED), "data.yaml": "names: [S1, L5, L4, L3, L2, L1]"},
        {"a.xml": voc(NAMED)},
        {"annotations/instances.json": coco(["a.png"])},
        {"annotations/instances.json": coco(["images\\a.png"], scale=2.0)},
    ],
    ids=["yolo beside", "yolo with yaml", "voc", "coco", "coco of a copy twice as large"],
)
def test_boxes_of_any_format_come_back_to_the_pixel(tmp_path: Path, labels: dict[str, str]) -> None:
    source = write(tmp_path / "download", {"a.png": png("a"), "README.txt": "hello", "train.txt": "a.png\n"} | labels)
    found = imported("pictures", source, tmp_path / "hospital", LATERAL)
    assert (found.films, found.drawn_films, found.skipped) == (1, 1, [])
    boxes = TakenIn(tmp_path / "hospital", tmp_path).boxes()
    assert sorted(boxes) == LEVELS
    for level, body in NAMED.items():
        assert boxes[level] == [pytest.approx(body, abs=1e-6)]


def test_splits_hold_pictures_of_one_name_and_one_name_of_two_endings(tmp_path: Path) -> None:
    source = write(
        tmp_path / "download",
        {
            "train/images/a.png": png("1"),
            "train/labels/a.txt": yolo(LEVELS, NAMED),
            "valid/images/a.png": png("2"),
            "valid/labels/a.txt": yolo(LEVELS, dict(list(NAMED.items())[:2])),
            "valid/images/b.png": png("3"),
            "valid/images/b.JPG": encoded(Image.fromarray(grey("4")), "JPEG"),
        },
    )
    found = imported("pictures", source, tmp_path / "hospital", LATERAL)
    assert (found.films, found.drawn_films, found.boxes) == (4, 2, 7)
    taken = TakenIn(tmp_path / "hospital", tmp_path)
    assert taken.pixels["refusal"].to_list() == [None] * 4
    assert sorted(taken.drawn.reader_boxes.group_by("film_id").len()["len"]) == [2, 5]
    assert taken.headers["patient_id"].n_unique() == 4


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"a.txt": "7 0.5 0.5 0.1 0.1\n"}, "boxes_not_taken"),
        ({"a.txt": yolo(LEVELS, {"L1": BODIES[3], "L2": BODIES[0]})}, "boxes_not_taken"),  # against the order
        ({"a.txt": yolo(LEVELS, {"L1": BODIES[3]}) * 2}, "boxes_not_taken"),  # twice
        ({"a.txt": "0 0.5 0.5 0.0001 0.1\n"}, "boxes_not_taken"),
        ({"a.txt": "0 0.9 0.5 0.4 0.1\n"}, "boxes_not_taken"),  # beyond the picture
        ({"a.txt": yolo(LEVELS, NAMED), "classes.txt": "vertebra\n"}, "boxes_not_taken"),
        ({"x.json": coco(["a.png"]).replace(UPRIGHT, LYING)}, "boxes_not_taken"),
        ({"x.json": coco(["b.png"])}, "boxes_without_a_picture"),
        ({"x.json": '{"version": 4, "shapes": []}'}, "boxes_not_taken"),  # of another program
        ({"a.xml": voc(NAMED), "a.txt": yolo(LEVELS, NAMED)}, "drawn_twice"),
    ],
)
def test_boxes_that_would_stop_the_hospital_are_left_out_with_a_reason(
    tmp_path: Path, labels: dict[str, str], reason: str
) -> None:
    source = write(tmp_path / "download", {"a.png": png("a")} | labels)
    found = imported("pictures", source, tmp_path / "hospital", LATERAL)
    assert (found.films, found.drawn_films) == (1, 0)
    assert [each.reason for each in found.skipped] == [reason]
    assert TakenIn(tmp_path / "hospital", tmp_path).headers["refusal"].to_list() == [None]


def test_a_picture_says_nothing_of_its_view_and_a_folder_may_be_a_patient(tmp_path: Path) -> None:
    source = write(tmp_path / "download", {"p1/a.png": png("1"), "p1/b.png": png("2"), "p2/a.png": png("3")})
    imported("pictures", source, tmp_path / "hospital", Options(folder_is_patient=True))
    header = TakenIn(tmp_path / "hospital", tmp_path).headers
    assert header["patient_id"].n_unique() == 2
    assert header.select("view", "body_part").unique().rows() == [(None, None)]
    assert set(header["refusal"]) == {None}


def test_pictures_that_are_called_like_lists_keep_their_boxes(tmp_path: Path) -> None:
    names = ("test", "train", "classes", "readme")
    source = write(
        tmp_path / "download",
        {f"img/{name}.png": png(name) for name in names} | {f"img/{name}.xml": voc(NAMED) for name in names},
    )
    found = imported("pictures", source, tmp_path / "hospital", LATERAL)
    assert (found.drawn_films, found.boxes, found.skipped) == (4, 20, [])
    assert len(TakenIn(tmp_path / "hospital", tmp_path).boxes()["L1"]) == 4


def test_a_turned_picture_stands_upright_with_its_boxes(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.fromarray(np.ascontiguousarray(np.rot90(grey("a")))), "PNG", exif=exif)
    source = write(tmp_path / "download", {"a.png": turned, "a.xml": voc(NAMED)})
    imported("pictures", source, tmp_path / "hospital", LATERAL)
    (film,) = (tmp_path / "hospital").rglob("*.dcm")
    dataset = pydicom.dcmread(film)
    assert np.array_equal(dataset.pixel_array, grey("a"))
    assert TakenIn(tmp_path / "hospital", tmp_path).boxes()["L3"] == [pytest.approx(BODIES[2], abs=1e-6)]
