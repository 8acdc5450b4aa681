"""Drafts that go out as label files, are corrected, and come back by the door for drawn boxes."""

import json
import re
import shutil
import zipfile
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from olvf_assets.detection.drafts.label_files import LabelFormat
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.whois import who_is
from olvf_assets_tests.detection.drafts.drafted import ONE, TWO, Drafted
from olvf_assets_tests.intake.samples import boxes, film, hospital

GIVEN_BACK: dict[LabelFormat, str] = {"yolo": "labels", "voc": "annotations", "coco": "coco.json"}
AS_DRAFTED = {"L1": (3.0, 2.0, 11.0, 8.0), "L2": (3.0, 9.0, 13.0, 17.0), "L4": (5.0, 30.0, 30.0, 40.0)}


@pytest.fixture
def drafted(tmp_path: Path) -> Drafted:
    found = Drafted(tmp_path)
    found.write()
    return found


def give_back(drafted: Drafted, what: str) -> Path:
    """Copy a file or folder of the drafts into the landing folder, as a person does."""
    target = drafted.landing / "boxes" / what
    source = drafted.out / what
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        target.parent.mkdir(exist_ok=True)
        shutil.copy(source, target)
    return target


def corners(drafted: Drafted) -> dict[str, tuple[float, ...]]:
    rows = drafted.drawn().reader_boxes.filter(film_id=ONE).iter_rows(named=True)
    return {row["level"]: tuple(row[name] for name in ("x0_px", "y0_px", "x1_px", "y1_px")) for row in rows}


def correct_l2(label_format: LabelFormat, given: Path) -> None:
    """Move the right edge of L2 of film one from 13 to 15 px in a file of drafts."""
    if label_format == "yolo":
        file = given / f"0002_{ONE}.txt"
        lines = file.read_text().splitlines()
        lines[1] = f"1 {9 / 30:.15f} {13 / 40:.15f} {12 / 30:.15f} {8 / 40:.15f}"
        file.write_text("\n".join(lines) + "\n")
    elif label_format == "voc":
        file = given / f"0002_{ONE}.xml"
        file.write_text(file.read_text().replace("<xmax>13</xmax>", "<xmax>15</xmax>"))
    else:
        said = json.loads(given.read_text())
        said["annotations"][1]["bbox"] = [3, 9, 12, 8]
        given.write_text(json.dumps(said))


@pytest.mark.parametrize("label_format", GIVEN_BACK)
def test_untouched_drafts_come_back_as_they_went_out(drafted: Drafted, label_format: LabelFormat) -> None:
    give_back(drafted, GIVEN_BACK[label_format])
    found = drafted.drawn()
    assert corners(drafted) == {level: pytest.approx(each, abs=1e-9) for level, each in AS_DRAFTED.items()}
    assert found.unmatched_boxes.height == 0
    assert found.drawn_films.select("film_id", "n_boxes", "is_draft", "box_format").rows() == sorted(
        [(ONE, 3, True, label_format), (TWO, 0, True, label_format)]
    )
    rows = {row["film_id"]: row for row in drafted.corrections().iter_rows(named=True)}
    assert (rows[ONE]["unchanged"], rows[ONE]["n_unchanged"], rows[ONE]["mean_iou"]) == (True, 3, pytest.approx(1.0))
    assert (rows[TWO]["unchanged"], rows[TWO]["n_drawn"], rows[TWO]["mean_iou"]) == (True, 0, None)


@pytest.mark.parametrize("label_format", GIVEN_BACK)
def test_a_corrected_box_comes_back_corrected_and_the_others_as_they_were(
    drafted: Drafted, label_format: LabelFormat
) -> None:
    correct_l2(label_format, give_back(drafted, GIVEN_BACK[label_format]))
    wanted = AS_DRAFTED | {"L2": (3.0, 9.0, 15.0, 17.0)}
    assert corners(drafted) == {level: pytest.approx(each, abs=1e-9) for level, each in wanted.items()}
    row = drafted.corrections().filter(film_id=ONE).row(0, named=True)
    assert (row["unchanged"], row["n_unchanged"], row["n_moved"]) == (False, 2, 1)
    assert row["lowest_iou"] == pytest.approx(10 / 12)
    assert row["boxes"][1] == {
        "change": "moved", "drafted_level": "L2", "level": "L2", "iou": pytest.approx(10 / 12),
    }  # fmt: skip


def test_what_cvat_exports_is_taken_in_as_the_draft_that_it_was(drafted: Drafted) -> None:
    """CVAT's YOLO 1.1 has the class list above the folder of labels, which its import and export share."""
    with zipfile.ZipFile(drafted.out / "cvat" / "yolo_1.1.zip") as archive:
        archive.extractall(drafted.landing / "boxes" / "export")
    assert corners(drafted) == {level: pytest.approx(each, abs=1e-9) for level, each in AS_DRAFTED.items()}
    assert drafted.corrections().filter("returned")["unchanged"].to_list() == [True, True]


def test_names_that_programs_add_their_folders_to_still_find_their_film(drafted: Drafted) -> None:
    said = json.loads((drafted.out / "coco.json").read_text())
    for image in said["images"]:
        image["file_name"] = f"upload/7/{image['file_name']}"
    (drafted.landing / "boxes").mkdir()
    (drafted.landing / "boxes" / "result.json").write_text(json.dumps(said))
    assert set(corners(drafted)) == {"L1", "L2", "L4"}


@pytest.mark.parametrize(
    "name",
    [
        "7f3a0c1d-0002_{}",
        "0002_{}_png.rf.0123456789abcdef0123456789abcdef",
        "12345_{}",
        "0002_{} (1)",
        "LOWER",
        "UPPER",
    ],
)
def test_a_draft_finds_its_film_under_the_names_that_programs_make_of_it(drafted: Drafted, name: str) -> None:
    """Label Studio puts eight digits before an uploaded name, Roboflow its own behind it; others change case."""
    stem = {"LOWER": f"0002_{ONE}".lower(), "UPPER": f"0002_{ONE}".upper()}.get(name, name.format(ONE))
    (drafted.landing / "boxes").mkdir()
    shutil.copy(drafted.out / "labels" / f"0002_{ONE}.txt", drafted.landing / "boxes" / f"{stem}.txt")
    assert drafted.drawn().drawn_films.select("film_id", "n_boxes", "is_draft").rows() == [(ONE, 3, True)]


def test_a_hospitals_own_names_of_that_form_are_its_own(tmp_path: Path) -> None:
    own = f"2021_F{'0' * 16}"
    folder = hospital(tmp_path, {f"{own}.dcm": film("one")})
    (folder / "boxes").mkdir()
    (folder / "boxes" / f"{own}.txt").write_text("0 0.5 0.5 0.2 0.1\n")
    found = boxes(folder, tmp_path).drawn_films
    assert found.select("film_id", "n_boxes", "is_draft").rows() == [(ONE, 1, False)]


def test_a_real_hospitals_draft_finds_its_film_and_its_name_is_hidden_like_any_other(tmp_path: Path) -> None:
    real = Pseudonymiser("institution_1", b"a key for tests only")
    folder = hospital(tmp_path)
    name = f"0001_{real.film(film('one').SOPInstanceUID)}.txt"
    (folder / "boxes").mkdir()
    (folder / "boxes" / name).write_text("0 0.5 0.5 0.2 0.1\n")
    found = boxes(folder, tmp_path, real)
    assert found.drawn_films["is_draft"].to_list() == [True]
    (folder / "boxes" / name).write_text("7 0.5 0.5 0.2 0.1\n")
    with pytest.raises(Exception, match="class 7 is no lumbar level") as error:
        boxes(folder, tmp_path, real)
    hidden = re.search(r"([\w-]+)\.txt, line 1", str(error.value))
    assert hidden is not None
    assert who_is(f"{hidden[1]}.txt", {folder: real}) == [
        f"institution_1: boxes/{hidden[1]}.txt is {folder / 'boxes' / name}"
    ]


def test_labelimgs_own_class_list_is_refused_and_never_read_as_other_levels(drafted: Drafted) -> None:
    """Without its class list on the command line, labelImg writes its fifteen classes and numbers ours after them."""
    labels = give_back(drafted, "labels")
    (labels / "classes.txt").write_text("dog\nperson\ncat\ntv\ncar\nL1\nL2\nL3\nL4\nL5\n")
    with pytest.raises(Exception, match=r"class 0 is no lumbar level; allowed are 5 \(L1\)"):
        drafted.drawn()


def test_a_film_drawn_by_hand_and_as_a_draft_is_not_guessed_at(drafted: Drafted) -> None:
    give_back(drafted, "labels")
    (drafted.landing / "boxes" / "one.txt").write_text("0 0.5 0.5 0.2 0.1\n")
    with pytest.raises(Exception, match="keep one of the two"):
        drafted.drawn()


def test_the_files_that_programs_open(drafted: Drafted) -> None:
    name = f"0002_{ONE}"
    assert (drafted.out / "classes.txt").read_text() == (drafted.out / "labels" / "classes.txt").read_text()
    assert (drafted.out / "labels" / f"0001_{TWO}.txt").read_text() == ""
    picture = (drafted.out / "images" / f"{name}.png").read_bytes()
    assert picture == drafted.store.path(drafted.drafts[1].image_path).read_bytes()
    root = fromstring((drafted.out / "annotations" / f"{name}.xml").read_text())
    ends = [root.findtext(f"object/bndbox/{end}") for end in ("xmin", "ymin", "xmax", "ymax")]
    assert (root.findtext("filename"), ends) == (f"{name}.png", ["4", "3", "11", "8"])
    with zipfile.ZipFile(drafted.out / "cvat" / "yolo_1.1.zip") as archive:
        names = ["obj.names", "obj.data", "train.txt", f"obj_train_data/0001_{TWO}.txt", f"obj_train_data/{name}.txt"]
        assert archive.namelist() == names
    said = json.loads((drafted.out / "coco.json").read_text())
    assert [image["file_name"] for image in said["images"]] == [f"0001_{TWO}.png", f"{name}.png"]
    assert said["annotations"][0]["bbox"] == [3, 2, 8, 6]
    order = (drafted.out / "order.csv").read_text().splitlines()
    assert order[1].startswith(f"1,0001_{TWO}.png,{TWO},nothing_found,")


def test_a_draft_of_a_film_that_is_gone_goes_to_quarantine(drafted: Drafted) -> None:
    give_back(drafted, "labels")
    (drafted.landing / "films" / "one.dcm").unlink()
    found = boxes(drafted.landing, drafted.root)
    assert found.unmatched_boxes.select("path", "reason").rows() == [
        (f"boxes/labels/0002_{ONE}.txt", "box_without_film")
    ]
