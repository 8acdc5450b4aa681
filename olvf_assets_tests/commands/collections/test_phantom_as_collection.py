"""Films of the phantom, saved as each collection saves its own, come back through the door with their boxes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import pytest
from PIL import Image

from olvf_assets.commands.collections.planned import Options
from olvf_assets.intake.boxes.formats import Corners
from olvf_assets.intake.pixels.grey_levels import grey_levels
from olvf_assets.phantom.hospital import write_hospital
from olvf_assets.phantom.settings import PhantomSettings, SyntheticInstitution
from olvf_assets_tests.commands.collections.made_up import TakenIn, csv_text, encoded, imported, mendeley_text, write
from olvf_assets_tests.planted_hospital import THREE_FILMS

LEVELS = ("L1", "L2", "L3", "L4", "L5")


class Shown(NamedTuple):
    """A film of the phantom: its picture, and the corners of L1 to L5 in pixels."""

    pixels: np.ndarray
    bodies: list[Corners]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    """Return three lateral films of 300 x 450 pixels."""
    folder = tmp_path_factory.mktemp("phantom") / "clinic"
    site = SyntheticInstitution(
        role="external", patients_normal=0, patients_fresh=2, patients_old=1, excluded_fresh={}, excluded_old={},
        images=THREE_FILMS, reread_patients=0, plate_mm=(240.0, 360.0), pixel_mm=0.8,
    )  # fmt: skip
    write_hospital(folder, "clinic", PhantomSettings(institutions={"clinic": site}), seed=1, workers=1)
    found = []
    for path in sorted((folder / "films").rglob("*.dcm")):
        film = pydicom.dcmread(path)
        pixels = grey_levels(film.pixel_array, film, (0.5, 99.5)).pixels
        height, width = pixels.shape
        lines = (folder / "boxes" / f"{path.stem}.txt").read_text().splitlines()
        rows = (list(map(float, line.split())) for line in lines)
        boxes = {
            int(level): ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            for level, x, y, w, h in rows
        }
        found.append(Shown(pixels, [boxes[level] for level in range(5)]))
    return found


def as_buu(number: int, film: Shown) -> dict[str, bytes | str]:
    """Return picture and rows of edges, whose corners span the box; every third row the other way round."""
    rows: list[tuple[float, ...]] = []
    for x0, y0, x1, y1 in film.bodies:
        rows += [(x0, y0, x1 - 1, y0 + 2, 0), (x0 + 1, y1 - 2, x1, y1, 0)]
    x0, _, x1, y1 = film.bodies[-1]
    rows.append((x0, y1 + 8, x1, y1 + 15, 0))
    turned = [(r[2], r[3], r[0], r[1], r[4]) if place % 3 == 2 else r for place, r in enumerate(rows)]
    picture = encoded(Image.fromarray(film.pixels).convert("RGB"), "JPEG", quality=95)
    return {f"LA/{number:04d}-F-081Y1.jpg": picture, f"LA/{number:04d}-F-081Y1.csv": csv_text(turned, "\r\n")}


def as_mendeley(number: int, film: Shown) -> dict[str, bytes | str]:
    """Return picture and JSON."""
    return {
        f"images/train/{number}.png": encoded(Image.fromarray(film.pixels), "PNG"),
        f"labels/train/{number}.json": mendeley_text(film.bodies),
    }


def as_pictures(number: int, film: Shown) -> dict[str, bytes | str]:
    """Return a TIFF picture of 16 bits and YOLO boxes in the order of another list."""
    height, width = film.pixels.shape
    lines = [
        f"{4 - level} {(x0 + x1) / 2 / width:.9f} {(y0 + y1) / 2 / height:.9f} "
        f"{(x1 - x0) / width:.9f} {(y1 - y0) / height:.9f}"
        for level, (x0, y0, x1, y1) in enumerate(film.bodies)
    ]
    deep = Image.fromarray(film.pixels.astype(np.uint16) * 257)
    return {
        f"images/{number}.TIF": encoded(deep, "TIFF", compression="tiff_lzw"),
        f"labels/{number}.txt": "\n".join(lines),
        "labels/classes.txt": "L5\nL4\nL3\nL2\nL1\n",
    }


LAYOUTS = {"buu-lspine": as_buu, "mendeley-spondylolisthesis": as_mendeley, "pictures": as_pictures}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_phantom_film_comes_back_with_its_boxes(kind: str, films: list[Shown], tmp_path: Path) -> None:
    for number, film in enumerate(films, start=1):
        write(tmp_path / "download", LAYOUTS[kind](number, film))
    found = imported(kind, tmp_path / "download", tmp_path / "hospital", Options(lateral=True))
    assert (found.films, found.boxes, found.skipped) == (3, 15, [])
    taken = TakenIn(tmp_path / "hospital", tmp_path)
    assert taken.headers["refusal"].to_list() == [None] * 3
    assert taken.pixels["refusal"].to_list() == [None] * 3
    boxes = taken.boxes()
    if kind == "mendeley-spondylolisthesis":
        helpers = taken.drawn.drawn_films["helper_boxes"]
        assert [[each["vertebra"] for each in film] for film in helpers] == [["unnamed"] * 5] * 3
        corners = [tuple(each[f"{end}_px"] for end in ("x0", "y0", "x1", "y1")) for film in helpers for each in film]
    else:
        assert sorted(boxes) == list(LEVELS)
        corners = [each for level in LEVELS for each in boxes[level]]
    expected = [body for film in films for body in film.bodies]
    assert np.abs(np.array(sorted(corners)) - np.array(sorted(expected))).max() < 1e-5


def test_pixels_of_a_lossless_picture_are_those_of_the_film(films: list[Shown], tmp_path: Path) -> None:
    write(tmp_path / "download", as_mendeley(1, films[0]))
    imported("mendeley-spondylolisthesis", tmp_path / "download", tmp_path / "hospital")
    (path,) = (tmp_path / "hospital").rglob("*.dcm")
    assert np.array_equal(pydicom.dcmread(path).pixel_array, films[0].pixels)
