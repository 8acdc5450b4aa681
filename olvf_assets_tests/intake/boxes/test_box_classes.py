"""Whose boxes are they, and of which level: class lists, folders and files that labelling programs leave."""

import json
from pathlib import Path

import pytest

from olvf_assets.intake.boxes.boxes import DrawnBoxes
from olvf_assets.intake.boxes.formats import FormatError, read_coco, read_voc
from olvf_assets.intake.landing.box_names import box_role
from olvf_assets.intake.landing.landing import is_sheet
from olvf_assets.intake.sheets.problems import SheetError
from olvf_assets_tests.intake.boxes.test_box_formats import coco, voc
from olvf_assets_tests.intake.samples import NAMES, boxes, film, headers, hospital

SEVEN = ["T12", "L1", "L2", "L3", "L4", "L5", "S1"]
SEVEN_LINES = "\n".join(SEVEN) + "\n"
ONE = "1 0.5 0.3 0.2 0.2\n2 0.5 0.6 0.2 0.2\n"
NOTES = json.dumps({"categories": [{"id": number, "name": name} for number, name in enumerate(SEVEN)], "info": {}})


def landed(root: Path, **files: str) -> Path:
    """Write a hospital with files by path (`__` is a slash, the last `_` the dot of the ending)."""
    folder = hospital(root)
    for name, text in files.items():
        path = folder / ".".join(name.replace("__", "/").rsplit("_", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "lists",
    [
        {"boxes__obj_names": SEVEN_LINES},
        {"boxes__vertebrae_names": SEVEN_LINES, "boxes__obj_data": "classes = 7\nnames = data/vertebrae.names\n"},
        {"boxes__data_yaml": f"train: ../train/images\nnc: 7\nnames: {SEVEN}\n"},
        {"boxes__dataset_yaml": "names:\n" + "".join(f"  {n}: {name}\n" for n, name in enumerate(SEVEN))},
        {"data_yaml": f"\ufeffnames: {SEVEN}\n"},
        {"boxes__notes_json": NOTES},
        {"boxes___darknet_labels": SEVEN_LINES},
        {"boxes__classes_txt": "\ufeff" + SEVEN_LINES, "boxes__data_yaml": f"names: {SEVEN[:-1]}\n"},
    ],
)
def test_class_lists_of_label_tools_say_what_the_numbers_mean(tmp_path: Path, lists: dict[str, str]) -> None:
    found = boxes(landed(tmp_path, boxes__one_txt=ONE, **lists), tmp_path)
    assert found.reader_boxes["level"].to_list() == ["L1", "L2"]
    assert found.unmatched_boxes.height == 0


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"boxes__one_txt": "5 0.5 0.5 0.2 0.2"},
            "no list of classes is here: add classes.txt, or the export's data.yaml",
        ),
        (
            {"boxes__one_txt": ONE, "boxes__classes_txt": "L1\nL2\nL3\nL4\nL5", "boxes__data_yaml": f"names: {SEVEN}"},
            "give the classes different numbers; keep the one that is true",
        ),
        (
            {"labels__one_txt": ONE, "labels__classes_txt": "L1\nL2\nL3\nL4\nL5", "data_yaml": f"names: {SEVEN}"},
            "labels/classes.txt and data.yaml give the classes different numbers",
        ),
        ({"boxes__one_txt": ONE, "boxes__data_yaml": "nc: 7\n"}, 'data.yaml: has no list "names"'),
        (
            {"boxes__one_txt": ONE, "boxes__data_yaml": "names: [L1 vertebra, L2, L3, L4, L5]"},
            "L1 must stand there once",
        ),
        (
            {"boxes__one_txt": ONE, "boxes__data_yaml": "a: &a [x]\nnames: [*a, *a]"},
            "not valid YAML without references",
        ),
        ({"boxes__one_txt": ONE, "boxes__data_yaml": "names: " + "[" * 5000}, "not valid YAML"),
        ({"boxes__one_txt": ONE, "boxes__data_yaml": "names: !!python/object:os.system [x]"}, "not valid YAML"),
        ({"boxes__one_txt": ONE, "boxes__notes_json": "[" * 100_000}, "is not what Label Studio writes"),
        (
            {"boxes__one_txt": ONE, "boxes__obj_data": "classes=7\nnames=x.names"},
            "file of names that it speaks of is missing",
        ),
        ({"boxes__one_txt": SEVEN_LINES}, "lists classes and draws no box; call it classes.txt"),
        (
            {"boxes__one_txt": "0 0.5 0.6 0.2 0.2\n1 0.5 0.3 0.2 0.2\n"},
            "draws L2 above L1; levels run from head to foot",
        ),
        ({"boxes__one_xml": voc(("L5", 1, 1, 9, 9), ("L3", 1, 20, 9, 29))}, "one.xml, draws L5 above L3"),
        ({"boxes__one_txt": "0 0.5 1e400 0.2 0.2"}, "is not five numbers"),
        ({"boxes__one_txt": "0 0.5 0.5 0.2 " + "9" * 5000}, "is not five numbers"),
    ],
)
def test_numbers_that_may_mean_another_level_are_not_guessed(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(SheetError) as error:
        boxes(landed(tmp_path, **files), tmp_path)
    assert said in str(error.value)


def helpers(found: DrawnBoxes) -> list[tuple[str, float, float]]:
    (boxes_of_film,) = found.drawn_films["helper_boxes"].to_list()
    return [(box["vertebra"], box["y0_px"], box["y1_px"]) for box in boxes_of_film]


@pytest.mark.parametrize("names", [SEVEN, ["Th12", "L1", "L2", "L3", "L4", "L5", "s1"], ["第12胸椎", *SEVEN[1:]]])
def test_other_vertebrae_are_kept_beside_the_levels_to_count_by(tmp_path: Path, names: list[str]) -> None:
    drawn = "0 0.5 0.1 0.2 0.1\n" + ONE + "6 0.5 0.9 0.2 0.1\n"
    found = boxes(landed(tmp_path, boxes__one_txt=drawn, boxes__classes_txt="\n".join(names)), tmp_path)
    assert found.reader_boxes["level"].to_list() == ["L1", "L2"]
    assert found.drawn_films["n_boxes"].to_list() == [2]
    assert [name for name, *_ in helpers(found)] == ["T12", "S1"]
    assert helpers(found)[0][1:] == pytest.approx((40 * 0.05, 40 * 0.15))


def test_other_vertebrae_are_kept_from_voc_and_coco_too(tmp_path: Path) -> None:
    voc_found = boxes(landed(tmp_path / "voc", boxes__one_xml=voc(("T11", 1, 1, 9, 9), ("L1", 1, 20, 9, 29))), tmp_path)
    assert helpers(voc_found) == [("T11", 0.0, 9.0)]
    s1 = coco(categories=[{"id": 2, "name": "S1"}, {"id": 5, "name": "L5"}])
    coco_found = boxes(landed(tmp_path / "coco", boxes__all_json=s1), tmp_path)
    assert coco_found.reader_boxes["level"].to_list() == ["L5"]
    assert sorted(len(each) for each in coco_found.drawn_films["helper_boxes"].to_list()) == [0, 1]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("0 0.5 0.9 0.2 0.1\n1 0.5 0.3 0.2 0.2\n", "draws L1 above T12; levels run from head to foot"),
        ("5 0.5 0.8 0.2 0.1\n6 0.5 0.3 0.2 0.2\n", "draws S1 above L5; levels run from head to foot"),
    ],
)
def test_a_count_that_other_vertebrae_contradict_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(SheetError) as error:
        boxes(landed(tmp_path, boxes__one_txt=lines, boxes__classes_txt=SEVEN_LINES), tmp_path)
    assert said in str(error.value)


def test_a_level_missing_in_the_middle_is_fine(tmp_path: Path) -> None:
    found = boxes(landed(tmp_path, boxes__one_txt="0 0.5 0.2 0.2 0.2\n3 0.5 0.8 0.2 0.2\n"), tmp_path)
    assert found.reader_boxes["level"].to_list() == ["L1", "L4"]


@pytest.mark.parametrize("where", ["labels", "Boxes", "BOXES", "label", "annotations", "films/labels", "films/a/boxes"])
def test_folders_of_boxes_have_several_names(tmp_path: Path, where: str) -> None:
    folder = hospital(tmp_path)
    (folder / where).mkdir(parents=True)
    (folder / where / "one.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / where / "one.png").write_bytes(b"\x89PNG")
    (folder / where / "train.txt").write_text("images/one.png\n")
    assert boxes(folder, tmp_path).reader_boxes["level"].to_list() == ["L1"]
    assert headers(folder)["path"].to_list() == ["films/one.dcm", "films/two.dcm"]
    assert box_role(f"{where}/one.png") == "picture"
    assert box_role("films/one.png") is None
    assert not is_sheet("films/one.txt")


def test_a_list_of_pictures_is_no_box_file_whatever_it_is_called(tmp_path: Path) -> None:
    folder = landed(tmp_path, boxes__fold1_txt="data/one.jpg\ndata/two.jpg\n", boxes__one_txt="0 0.5 0.5 0.2 0.2\n")
    assert boxes(folder, tmp_path).reader_boxes.height == 1


def test_folders_tell_films_of_one_name_apart(tmp_path: Path) -> None:
    folder = hospital(
        tmp_path,
        {"A/001.dcm": film("a"), "B/001.dcm": film("b", "A-2"), "C/002.dcm": film("c"), "001.dcm": film("d", "A-2")},
    )
    for where, level in (("A", 0), ("B", 1), ("C", 2)):
        (folder / "boxes" / where).mkdir(parents=True)
        (folder / "boxes" / where / "001.txt").write_text(f"{level} 0.5 0.5 0.2 0.2\n")
    found = boxes(folder, tmp_path)
    assert dict(found.reader_boxes.select("film_id", "level").iter_rows()) == {
        NAMES.film(film("a").SOPInstanceUID): "L1", NAMES.film(film("b").SOPInstanceUID): "L2",
    }  # fmt: skip
    # C has no film 001: the box is nobody's, not that of another folder.
    assert found.unmatched_boxes.select("path", "reason").rows() == [("boxes/C/001.txt", "box_without_film")]


def test_a_box_of_a_refused_film_is_not_given_to_the_film_of_another_folder(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"A/001.dcm": film("a"), "B/001.dcm": film("b", "A-2", ViewPosition="AP")})
    (folder / "labels" / "B").mkdir(parents=True)
    (folder / "labels" / "B" / "001.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    found = boxes(folder, tmp_path)
    assert found.reader_boxes.height == 0
    assert found.unmatched_boxes["reason"].to_list() == ["box_of_refused_film"]


def test_folders_in_a_coco_file_tell_films_apart(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"A/one.dcm": film("a"), "B/one.dcm": film("b", "A-2")})
    (folder / "boxes").mkdir()
    images = [{"id": 7, "file_name": "B\\one.png", "width": 30, "height": 40}]
    (folder / "boxes" / "all.json").write_text(coco(images=images, annotations=json.loads(coco())["annotations"][:1]))
    assert boxes(folder, tmp_path).reader_boxes["film_id"].to_list() == [NAMES.film(film("b").SOPInstanceUID)]


@pytest.mark.parametrize("name", ["x-sjis", "Shift_JIS", "windows-31j", "EUC-JP"])
def test_xml_in_japanese_encodings_is_read(name: str) -> None:
    codec = "euc_jp" if name == "EUC-JP" else "cp932"
    content = f'<?xml version="1.0" encoding="{name}"?>\n' + voc(("第1腰椎", 1, 1, 9, 9))
    assert read_voc(content.encode(codec))[0].boxes[0].level == "L1"


@pytest.mark.parametrize("name", ["zip", "rot13", "x-none", "unicode_escape", "idna"])
def test_an_encoding_that_nobody_writes_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="names an encoding that is not known"):
        read_voc(f'<?xml version="1.0" encoding="{name}"?>'.encode() + voc(("L1", 1, 1, 9, 9)).encode())


def test_ids_that_stand_for_two_things_are_refused() -> None:
    image = {"id": 7, "file_name": "one.png", "width": 30, "height": 40}
    with pytest.raises(FormatError, match="two images have the same id"):
        read_coco(coco(images=[image, image | {"file_name": "two.png"}]).encode())
    with pytest.raises(FormatError, match="two categories have the same id"):
        read_coco(coco(categories=[{"id": 2, "name": "L2"}, {"id": 2, "name": "L5"}]).encode())
    with pytest.raises(FormatError, match="width"):
        read_coco(coco(images=[image | {"width": 10**400}]).encode())
    assert read_coco(b"\xef\xbb\xbf" + coco().encode())[0].boxes[0].level == "L2"
