import json
from pathlib import Path
from typing import Any

import pytest

from olvf_assets.intake.sheets.problems import SheetError
from olvf_assets_tests.intake.samples import NAMES, boxes, film, hospital

# The film is 30 px wide and 40 px high; this box covers its pixels 4 to 11 across and 9 to 24 down, counted from 1.
L2_CORNERS = ("L2", 3.0, 8.0, 11.0, 24.0)
YOLO = f"1 {7 / 30:.6f} {16 / 40:.6f} {8 / 30:.6f} {16 / 40:.6f}\n"


def voc(*objects: tuple[str, int, int, int, int], size: tuple[int, int] = (30, 40)) -> str:
    """Return a file as labelImg writes it."""
    drawn = "".join(
        f"""
    <object>
        <name>{name}</name>
        <pose>Unspecified</pose>
        <truncated>0</truncated>
        <difficult>0</difficult>
        <bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>
    </object>"""
        for name, x0, y0, x1, y1 in objects
    )
    return f"""<annotation>
    <folder>png</folder>
    <filename>one.png</filename>
    <path>C:\\Users\\technologist\\one.png</path>
    <source><database>Unknown</database></source>
    <size><width>{size[0]}</width><height>{size[1]}</height><depth>1</depth></size>
    <segmented>0</segmented>{drawn}
</annotation>
"""


def coco(**changes: Any) -> str:
    """Return a file with the box in film `one`, and another in film `two`."""
    content = {
        "info": {"contributor": "technologist"},
        "images": [
            {"id": 7, "file_name": "png/one.png", "width": 30, "height": 40},
            {"id": 9, "file_name": "png\\two.png", "width": 30, "height": 40},
            {"id": 10, "file_name": "never labelled.png", "width": 1, "height": 1},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": [3, 8, 8, 16], "area": 128, "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 5, "bbox": [0.5, 1.5, 10, 10]},
        ],
        "categories": [{"id": 2, "name": "L2"}, {"id": 5, "name": "第5腰椎"}],
    }
    return json.dumps(content | changes)


def drawn(root: Path, **files: str) -> Path:
    """Write a hospital with box files by name (`one_xml` is one.xml) and return its folder."""
    folder = hospital(root)
    for name, text in files.items():
        path = folder / "boxes" / ".".join(name.rsplit("_", 1))
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("files", "box_format", "scale"),
    [
        ({"one_txt": YOLO}, "yolo", None),
        ({"one_xml": voc(("L2", 4, 9, 11, 24))}, "voc", 1.0),
        ({"one_xml": voc(("L2", 7, 17, 22, 48), size=(60, 80))}, "voc", 0.5),
        ({"all_json": coco()}, "coco", 1.0),
    ],
)
def test_the_same_box_in_every_format(
    tmp_path: Path, files: dict[str, str], box_format: str, scale: float | None
) -> None:
    table = boxes(drawn(tmp_path, **files), tmp_path).reader_boxes.filter(film_id=NAMES.film(film().SOPInstanceUID))
    (row,) = table.iter_rows(named=True)
    assert row["level"] == L2_CORNERS[0]
    assert tuple(row[name] for name in ("x0_px", "y0_px", "x1_px", "y1_px")) == pytest.approx(L2_CORNERS[1:], abs=1e-4)
    assert (row["box_format"], row["film_px_per_picture_px"]) == (box_format, scale)


def test_a_voc_box_of_the_whole_picture_is_the_whole_film(tmp_path: Path) -> None:
    table = boxes(drawn(tmp_path, one_xml=voc(("L1", 1, 1, 30, 40))), tmp_path).reader_boxes
    assert table.select("x0_px", "y0_px", "x1_px", "y1_px").row(0) == (0.0, 0.0, 30.0, 40.0)


def test_one_coco_file_draws_many_films(tmp_path: Path) -> None:
    found = boxes(drawn(tmp_path, export_json=coco()), tmp_path)
    assert dict(found.reader_boxes.select("film_id", "level").iter_rows()) == {
        NAMES.film(film("one").SOPInstanceUID): "L2",
        NAMES.film(film("two").SOPInstanceUID): "L5",
    }
    assert found.unmatched_boxes.height == 0


def test_a_picture_scaled_to_whole_pixels_still_fits(tmp_path: Path) -> None:
    # 30 x 40 at a third is 10 x 13.33, which a program rounds to 10 x 13.
    table = boxes(drawn(tmp_path, one_xml=voc(("L1", 1, 1, 10, 13), size=(10, 13))), tmp_path).reader_boxes
    assert table.select("x0_px", "y0_px", "x1_px", "y1_px").row(0) == pytest.approx((0.0, 0.0, 30.0, 40.0))
    assert table["film_px_per_picture_px"].to_list() == [3.0]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"one_xml": voc(("L1", 1, 1, 9, 9), size=(40, 30))},
            "one.xml, the labelled picture of 40 x 30 px is no scaled copy of its film of 30 x 40 px; label the whole",
        ),
        (
            {"all_json": coco(images=[{"id": i, "file_name": "one.png", "width": 300, "height": 500} for i in (7, 9)])},
            "all.json, the labelled picture of 300 x 500 px is no scaled copy of its film of 30 x 40 px",
        ),
        ({"one_xml": voc(("rib", 1, 1, 9, 9))}, "one.xml, object 1: name '***' is no lumbar level; allowed are L1, L2"),
        ({"one_xml": voc(("L1", 1, 1, 9, 9), ("L1", 1, 9, 9, 19))}, "one.xml, object 2: draws L1 a second time"),
        ({"one_xml": voc(("L1", 1, 1, 90, 9))}, "one.xml, object 1: draws (0, 0) to (90, 9) px, outside its film"),
        ({"one_xml": voc(("L1", 9, 9, 1, 1))}, "one.xml, object 1: draws a box of less than one pixel around L1"),
        ({"one_xml": "<annotation><size>"}, "one.xml, the file is no plain XML (ParseError)"),
        ({"one_xml": "<html/>"}, "one.xml, the file is no Pascal VOC: annotation/size/width and height must be pixels"),
        (
            {"one_xml": voc(("L1", 1, 1, 9, 9)).replace("<ymax>9</ymax>", "")},
            "one.xml, object 1: bndbox lacks a number among xmin, ymin, xmax, ymax",
        ),
        ({"all_json": "{"}, "all.json, the file is no COCO object detection (file: Invalid JSON"),
        ({"all_json": coco(categories=[])}, "all.json, annotation 1: its category '' is no lumbar level"),
        ({"all_json": coco(images=[])}, "all.json, annotation 1: its image_id is not among the images"),
        (
            {"all_json": coco(annotations=[{"image_id": 7, "category_id": 2, "bbox": [3, 8, 8]}])},
            "all.json, the file is no COCO object detection (annotations.0.bbox.3: Field required)",
        ),
        (
            {"all_json": coco(images=[{"id": i, "file_name": "one.png", "width": 30, "height": 40} for i in (7, 9)])},
            "all.json: draws the film of all.json again; keep one of the two",
        ),
        (
            {"one_txt": YOLO, "one_xml": voc(("L2", 4, 9, 11, 24))},
            "one.xml: draws the film of one.txt again; keep one of the two",
        ),
    ],
)
def test_a_bad_box_file_is_named_with_what_is_allowed(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(SheetError) as error:
        boxes(drawn(tmp_path, **files), tmp_path)
    assert said in str(error.value)


def test_xml_that_expands_entities_is_not_read(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE annotation [<!ENTITY name "L1">]>' + voc(("&name;", 1, 1, 9, 9))
    with pytest.raises(SheetError, match=r"the file is no plain XML \(EntitiesForbidden\)"):
        boxes(drawn(tmp_path, one_xml=bomb), tmp_path)


def test_pictures_may_be_named_by_sop_instance_uid_and_films_may_have_no_ending(tmp_path: Path) -> None:
    one, two = film("one"), film("two", "A-2")
    folder = hospital(tmp_path, {"IM1": one, str(two.SOPInstanceUID): two})
    (folder / "boxes").mkdir()
    for uid in (one.SOPInstanceUID, two.SOPInstanceUID):
        (folder / "boxes" / f"{uid}.xml").write_text(voc(("L1", 1, 1, 9, 9)))
    found = boxes(folder, tmp_path)
    assert set(found.reader_boxes["film_id"]) == {NAMES.film(one.SOPInstanceUID), NAMES.film(two.SOPInstanceUID)}
    assert found.unmatched_boxes.height == 0


def test_pictures_of_a_coco_file_without_a_usable_film_are_counted_in_quarantine(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"one.dcm": film("one"), "two.dcm": film("two", "A-2", ViewPosition="AP")})
    (folder / "boxes").mkdir()
    (folder / "boxes" / "all.json").write_text(coco())
    found = boxes(folder, tmp_path)
    assert found.reader_boxes["level"].to_list() == ["L2"]
    assert found.unmatched_boxes.select("path", "reason", "detail").rows() == [
        ("boxes/all.json", "box_of_refused_film", "1 of 2 pictures: its film was refused: not_lateral"),
    ]


def test_a_film_may_have_an_empty_file_beside_the_one_that_draws_it(tmp_path: Path) -> None:
    found = boxes(drawn(tmp_path, one_txt="", one_xml=voc(("L2", 4, 9, 11, 24))), tmp_path)
    assert found.reader_boxes["box_format"].to_list() == ["voc"]


def test_the_nearest_class_list_counts(tmp_path: Path) -> None:
    folder = drawn(tmp_path, classes_txt="L5\nL4\nL3\nL2\nL1\n", one_txt="0 0.5 0.5 0.2 0.2\n")
    inner = folder / "boxes" / "second technologist"
    inner.mkdir()
    (inner / "classes.txt").write_text("第1腰椎\n第2腰椎\n第3腰椎\n第4腰椎\n第5腰椎\n", encoding="utf-8")
    (inner / "two.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    table = boxes(folder, tmp_path).reader_boxes
    assert dict(table.select("film_id", "level").iter_rows()) == {
        NAMES.film(film("one").SOPInstanceUID): "L5",
        NAMES.film(film("two").SOPInstanceUID): "L1",
    }
