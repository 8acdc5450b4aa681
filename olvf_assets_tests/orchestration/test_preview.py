"""What a person is shown of a table: bounded in size, and never more of a patient than can be found and erased."""

import base64
import re
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from olvf_assets.orchestration.preview import (
    LARGEST_PICTURE,
    LARGEST_TEXT,
    pictures_in_markdown,
    row_in_words,
    rows_in_markdown,
    spread,
)
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.traces import ID, Traces

PATIENT, FILM, HASH = "P0123456789abcdef", "Ffedcba9876543210", "ab" * 32
UID = f"2.25.{'1234567890' * 3}"


def cells(markdown: str, row: int = 0) -> list[str]:
    return [each.strip() for each in re.split(r"(?<!\\)\|", markdown.splitlines()[2 + row])[1:-1]]


def test_rows_are_evenly_spread_and_the_count_is_told() -> None:
    frame = pl.DataFrame({"n": range(294)})
    assert spread(frame, 10)["n"].to_list() == [0, 29, 58, 88, 117, 147, 176, 205, 235, 264]
    shown = rows_in_markdown(frame)
    assert shown.splitlines()[:3] == ["| n |", "| --- |", "| 0 |"]
    assert shown.endswith("10 of 294 rows, evenly spread")
    assert rows_in_markdown(frame.head(3)).endswith("| 2 |\n\nall rows")
    assert spread(frame.clear()).height == 0


def test_cells_of_every_kind_are_short_and_break_no_table() -> None:
    row = {
        "text": "a | b\nc <img> `d` ![e](f)",
        "long": "x" * 100,
        "number": 0.123456789,
        "nan": float("nan"),
        "yes": True,
        "none": None,
        "day": date(2020, 2, 29),
        "list": [1, 2, 3],
        "record": {"a": 1, "b": 2},
        "bytes": b"12345",
    }
    shown = cells(rows_in_markdown(pl.DataFrame([row], schema_overrides={"none": pl.String})))
    assert shown == [
        r"a \| b c &lt;img> 'd' !\[e\](f)", "x" * 40 + "…", "0.12346", "nan", "true", "null", "2020-02-29",
        "3 elements", "2 elements", "5 bytes",
    ]  # fmt: skip


def test_a_table_of_long_rows_shows_fewer_of_them() -> None:
    wide = pl.DataFrame({f"column_{place}": ["x" * 39] * 10 for place in range(40)})
    shown = rows_in_markdown(wide)
    assert len(shown.encode()) <= LARGEST_TEXT
    assert shown.endswith("2 of 10 rows, evenly spread")
    assert rows_in_markdown(pl.DataFrame({"x" * 7_000: [1]})) == "1 rows, too long to be shown"


@pytest.mark.parametrize(
    ("row", "who"),
    [
        ({"patient_id": PATIENT, "age_years": 80}, PATIENT),
        ({"crop_id": f"{FILM}-L1", "image_path": f"images/ab/{HASH}.png"}, FILM),
        ({"path": "films/xehkffjoj.dcm", "sha256": HASH}, HASH),
        ({"image_path": f"images/ab/{HASH}.png", "thumbnail": b"1"}, HASH),
        ({"detail": f"{'x' * 30} {PATIENT} and more"}, PATIENT),
        ({"detail": f"{'x' * 30} {HASH}"}, HASH),
        ({"sop_instance_uid": UID, "rows": 2032}, UID),
        ({"detail": f"{'x' * 30} {UID}"}, UID),
    ],
)  # fmt: skip
def test_whoever_is_shown_can_be_found_and_erased(row: dict[str, object], who: str) -> None:
    traces = Traces(frozenset({who}))
    assert traces.are_in_text(rows_in_markdown(pl.DataFrame([row])))
    assert traces.are_in_text(row_in_words(row))


def test_no_part_of_a_name_is_left_where_a_text_is_cut() -> None:
    for length in range(60):
        shown = rows_in_markdown(pl.DataFrame({"detail": [f"{'x' * length}, {PATIENT}, {HASH}"]}))
        rest = re.sub(ID.pattern.decode(), "", shown)
        assert not re.search(r"[0-9a-f]{9}", rest), shown


def test_a_hash_beside_a_pseudonym_is_shortened() -> None:
    row = {"film_id": FILM, "sha256": HASH, "image_path": f"images/ab/{HASH}.png"}
    assert cells(rows_in_markdown(pl.DataFrame([row]))) == [FILM, "abababab…", "images/ab/abababab….png"]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


def picture(markdown: str) -> np.ndarray:
    (found,) = re.findall(r"!\[pictures\]\(data:image/webp;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert len(found) <= LARGEST_PICTURE
    return cv2.imdecode(np.frombuffer(base64.b64decode(found), np.uint8), cv2.IMREAD_COLOR)


def noise(store: ArtifactStore, lots: int, height: int = 140, width: int = 166) -> str:
    return store.save_image(np.random.default_rng(lots).integers(0, 256, (height, width)).astype(np.uint8))[0]


def smooth(store: ArtifactStore, lots: int) -> str:
    return store.save_image(np.full((140, 166), lots, np.uint8))[0]


def test_a_sheet_shows_eight_pictures_and_names_each(store: ArtifactStore) -> None:
    names = [f"F{place:016x}-L1" for place in range(40)]
    frame = pl.DataFrame({"crop_id": names, "level": "L1", "image_path": [smooth(store, each) for each in range(40)]})
    shown = pictures_in_markdown(frame, ("image_path",), store.path)
    assert picture(shown).shape == (2 * 108, 4 * 96, 3)
    assert shown.splitlines()[-1].split(", ") == [names[place * 40 // 8] for place in range(8)]


def test_pictures_that_do_not_shrink_well_are_shown_smaller(store: ArtifactStore) -> None:
    frame = pl.DataFrame({"film_id": [FILM] * 8, "image_path": [noise(store, each) for each in range(8)]})
    assert picture(pictures_in_markdown(frame, ("image_path",), store.path)).shape == (108, 2 * 96, 3)


def test_boxes_and_maps_are_drawn_into_the_picture(store: ArtifactStore) -> None:
    black = store.save_image(np.zeros((96, 96), np.uint8))[0]
    left = np.zeros((96, 96), np.uint8)
    left[:, :48] = 255
    frame = pl.DataFrame({"film_id": [FILM], "image_path": [black], "map_path": [store.save_image(left)[0]]})
    red = picture(pictures_in_markdown(frame, ("image_path", "map_path"), store.path))
    assert red.shape == (204, 192, 3)
    assert red[10:180, 10:85, 2].min() > 200
    assert red[10:180, 10:85, :2].max() < 60
    assert red[10:180, 107:180].max() < 60
    boxes = [{"level": "L1", "x0": 0.25, "y0": 0.25, "x1": 0.75, "y1": 0.5}]
    drawn = picture(pictures_in_markdown(frame.with_columns(pl.Series("boxes", [boxes])), ("image_path",), store.path))
    assert drawn[48, 60:132, 1].min() > 100
    assert drawn[72, 60:132].max() < 80


def test_large_films_are_few_and_missing_or_broken_pictures_are_left_out(store: ArtifactStore) -> None:
    films = [noise(store, each, 2000, 1200) for each in range(4)]
    names = [f"F{place:016x}" for place in range(4)]
    shown = pictures_in_markdown(pl.DataFrame({"film_id": names, "image_path": films}), ("image_path",), store.path)
    assert shown.splitlines()[-1] == names[0]
    store.path(films[0]).unlink()
    store.path(films[1]).write_bytes(b"no picture")
    frame = pl.DataFrame({"film_id": names[:2], "image_path": films[:2]})
    assert pictures_in_markdown(frame, ("image_path",), store.path) == ""
    assert pictures_in_markdown(frame.clear(), ("image_path",), store.path) == ""


def test_a_picture_without_a_name_is_named_by_its_hash(store: ArtifactStore) -> None:
    path = noise(store, 1)
    shown = pictures_in_markdown(pl.DataFrame({"image_path": [path]}), ("image_path",), store.path)
    assert Traces(frozenset({Path(path).stem})).are_in_text(shown)
