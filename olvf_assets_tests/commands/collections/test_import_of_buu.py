"""BUU-LSPINE as its users find it on their disks: odd rows, odd names, odd encodings."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from olvf_assets.commands.collections.buu import UnclearRowsError, bodies_of, lines_of
from olvf_assets_tests.commands.collections.made_up import (
    BODIES,
    ROWS,
    TakenIn,
    csv_text,
    encoded,
    grey,
    imported,
    png,
    write,
)

LINES = [row[:4] for row in ROWS]


def reasons(found: list[tuple[str, str, str]]) -> dict[str, str]:
    return {path: reason for path, reason, _ in found}


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """Return a download of two laterals, one of them with its boxes, and a frontal film."""
    return write(
        tmp_path / "BUU-LSPINE",
        {
            "LA/0001-F-037Y1.jpg": encoded(Image.fromarray(grey("one")), "JPEG"),
            "LA/0001-F-037Y1.csv": csv_text(),
            "LA/0002-M-091Y1.JPG": encoded(Image.fromarray(grey("two")), "JPEG"),
            "AP/0001-F-037Y0.jpg": png("front"),
            "AP/0001-F-037Y0.csv": csv_text(),
            "dataset_report.xlsx": b"PK not read",
        },
    )


def test_a_download_goes_through_the_door_with_its_boxes_to_the_pixel(download: Path, tmp_path: Path) -> None:
    found = imported("buu-lspine", download, tmp_path / "hospital")
    assert (found.films, found.drawn_films, found.boxes) == (2, 1, 5)
    assert reasons(found.skipped) == {"AP/0001-F-037Y0.jpg": "frontal", "LA/0002-M-091Y1.JPG": "no_boxes"}
    taken = TakenIn(tmp_path / "hospital", tmp_path)
    assert taken.headers["refusal"].to_list() == [None, None]
    assert set(taken.headers["pixel_mm"]) == {None}
    assert set(taken.headers["pixel_mm_source"]) == {"unknown"}
    assert set(taken.headers["body_part"]) == {"lumbar"}
    assert taken.pixels["refusal"].to_list() == [None, None]
    assert sorted(taken.subjects.select("sex", "age_years", "film_date").rows()) == [("F", 37, None), ("M", 90, None)]
    boxes = taken.boxes()
    assert sorted(boxes) == ["L1", "L2", "L3", "L4", "L5"]
    for level, body in zip(sorted(boxes), BODIES, strict=True):
        (corners,) = boxes[level]
        assert corners == pytest.approx(body, abs=1e-6)
    assert taken.drawn.drawn_films["helper_boxes"].list.len().to_list() == [0]  # the line of S1 is no box
    assert taken.drawn.unmatched_boxes.is_empty()


@pytest.mark.parametrize(
    "text",
    [
        csv_text(end="\r\n"),
        "\ufeff" + csv_text(),
        "x1,y1,x2,y2,label\n" + csv_text(),
        csv_text().replace(",", ";"),
        "\n" + csv_text() + "\n\n",
        csv_text([row[:4] for row in ROWS]),
        csv_text(ROWS[::-1]),  # from foot to head
        csv_text([(x2, y2, x1, y1, label) if place in (2, 5) else (x1, y1, x2, y2, label)
                  for place, (x1, y1, x2, y2, label) in enumerate(ROWS)]),
    ],
    ids=["crlf", "bom", "headings", "semicolons", "empty lines", "no label", "foot to head", "points reversed"],
)  # fmt: skip
def test_the_same_bodies_are_read_however_the_rows_are_written(text: str) -> None:
    boxes, _ = bodies_of(lines_of(text.removeprefix("\ufeff")))
    assert boxes == BODIES


def test_reversed_points_are_found_by_the_other_rows() -> None:
    turned = [(x2, y2, x1, y1) if place in (2, 5) else (x1, y1, x2, y2) for place, (x1, y1, x2, y2) in enumerate(LINES)]
    assert bodies_of(turned)[1] == [3, 6]
    facing_left = [(300 - x1, y1, 300 - x2, y2) for x1, y1, x2, y2 in LINES]
    assert bodies_of(facing_left)[1] == []


@pytest.mark.parametrize(("rows", "levels"), [(10, 5), (8, 4), (2, 1)])
def test_fewer_bodies_are_those_from_l1(rows: int, levels: int) -> None:
    assert bodies_of(LINES[:rows])[0] == BODIES[:levels]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (LINES[:9], "which is missing is not certain"),
        (LINES[:3] + LINES[4:], "a row seems to be missing"),
        (LINES[:9] + LINES[10:], "a row seems to be missing"),
        (LINES[1:], "a row seems to be missing"),
        (LINES[:2] + LINES[4:10], "a body is missing between two others"),
        (LINES + LINES[-1:], "more than five bodies"),
        (LINES[2:4] + LINES[:2] + LINES[4:10], "do not run from head to foot"),
        ([], "which is missing"),
    ],
)
def test_rows_that_leave_the_names_open_give_no_boxes(lines: list[tuple[float, ...]], said: str) -> None:
    with pytest.raises(UnclearRowsError, match=said):
        bodies_of(lines)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1,2,3\n", "1,2,x,4,0\n", "1,2,nan,4,0\n", "1 2 3 4 0\n5 6 7 8 0\n"])
def test_a_row_that_is_no_line_is_named(text: str) -> None:
    with pytest.raises(UnclearRowsError, match=r"row 1|0 rows"):
        bodies_of(lines_of(text))


def test_faulty_files_are_named_and_cost_themselves_alone(tmp_path: Path) -> None:
    picture = {f"LA/{number:04d}-F-050Y1.jpg": png(str(number)) for number in range(1, 8)}
    labels = {
        "LA/0001-F-050Y1.csv": csv_text(),
        "LA/0002-F-050Y1.csv": csv_text(ROWS[:7]),
        "LA/0003-F-050Y1.csv": csv_text([(x1 * 4, y1 * 4, x2 * 4, y2 * 4, 0) for x1, y1, x2, y2, _ in ROWS]),
        "LA/0004-F-050Y1.csv": b"\x81\x00\xff\xfe" * 9,
        "LA/0005-F-050Y1.csv": csv_text(),
        "LA/0006-F-050Y1.csv": csv_text(),
    }
    picture["LA/0005-F-050Y1.jpg"] = picture["LA/0005-F-050Y1.jpg"][:300]
    picture["LA/0006-F-050Y1.jpg"] = b"<html>not found</html>"
    odd = {
        "LA/scan.jpg": png("s"),
        "LA/0009-X-050Y1.jpg": png("x"),
        "LA/0010-F-250Y1.jpg": png("o"),
        "0011-F-050Y1.jpg": png("f"),
    }
    source = write(tmp_path / "download", picture | labels | odd)
    found = imported("buu-lspine", source, tmp_path / "hospital")
    assert (found.films, found.drawn_films) == (5, 1)
    assert reasons(found.skipped) == {
        "LA/0002-F-050Y1.csv": "boxes_not_taken",
        "LA/0003-F-050Y1.jpg": "boxes_not_taken",  # of another size
        "LA/0004-F-050Y1.csv": "boxes_not_taken",
        "LA/0005-F-050Y1.jpg": "damaged_picture",
        "LA/0006-F-050Y1.jpg": "not_a_picture",
        "LA/0007-F-050Y1.jpg": "no_boxes",
        "LA/scan.jpg": "name_not_understood",
        "LA/0009-X-050Y1.jpg": "name_not_understood",
        "LA/0010-F-250Y1.jpg": "name_not_understood",
        "0011-F-050Y1.jpg": "view_not_told",
    }
    listed = (tmp_path / "hospital" / ".import_skipped.csv").read_text()
    assert "left out,LA/0006-F-050Y1.jpg,not_a_picture," in listed
    assert "boxes_not_taken 3 (first: LA/0002-F-050Y1.csv: 7 rows are no whole bodies" in found.described()


def test_one_number_of_two_ages_is_no_patient(tmp_path: Path) -> None:
    source = write(tmp_path / "LA", {"0001-F-037Y1.jpg": png("a"), "0001-F-073Y1.jpg": png("b")})
    found = imported("buu-lspine", source, tmp_path / "hospital")  # the folder LA itself
    assert found.films == 1
    assert reasons(found.skipped)["0001-F-073Y1.jpg"] == "contradictory_patient"


def test_an_archive_is_read_where_it_lies_and_a_hostile_one_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "download", {"bomb.zip": _zipped({"LA/0003-F-050Y1.jpg": bytes(1 << 20) * 300})})
    content = _zipped({"BUU/LA/0001-F-037Y1.jpg": png("a"), "BUU/LA/0001-F-037Y1.csv": csv_text().encode()})
    write(source, {"BUU.zip": content, "out.zip": _zipped({"../LA/0002-F-050Y1.jpg": png("b")})})
    found = imported("buu-lspine", source, tmp_path / "hospital")
    assert (found.films, found.boxes) == (1, 5)
    assert reasons(found.skipped) == {"bomb.zip/LA/0003-F-050Y1.jpg": "too_large", "out.zip": "unsafe_archive"}
    assert (tmp_path / "hospital" / "films" / "BUU" / "BUU" / "LA" / "0001-F-037Y1.dcm").is_file()
    assert TakenIn(tmp_path / "hospital", tmp_path).boxes()["L5"] == [pytest.approx(BODIES[4], abs=1e-6)]


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
