"""`python -m olvf_assets measure-transfer`: the table, the files, the pictures."""

import sys
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from olvf_assets.__main__ import main
from olvf_assets.detection.tables import BOX_PX, DETECTED_FILMS, DETECTION_CANDIDATES, DETECTOR_ANSWERS, DETECTOR_COPIES
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.tables import DRAWN_FILMS, READER_BOXES
from olvf_assets.storage.artifacts import ArtifactStore

BODIES = [(40.0, 20.0 + 30 * n, 80.0, 40.0 + 30 * n) for n in range(5)]
RIGHT, WRONG, TAUGHT = (f"F{number}{'0' * 15}" for number in range(1, 4))


@pytest.fixture
def lake(data: Path) -> Path:
    """Return the data folder of a study with films told rightly and wrongly, and one that taught the detector."""
    store = ArtifactStore(data / "lake")
    films, found, bodies, drawn, drawn_films, copies = [], [], [], [], [], []
    for number, film_id in enumerate((RIGHT, WRONG, TAUGHT)):
        pixels = np.full((200, 150), 60 + number, np.uint8)
        path, _ = store.save_image(pixels)
        own = {"institution": "city", "film_id": film_id}
        films.append(own | {"image_path": path, "width_px": 150, "height_px": 200, "view": "neutral"})
        drawn += [
            own | {"level": level} | dict(zip(BOX_PX, box, strict=True))
            for level, box in zip(LEVELS, BODIES, strict=True)
        ]
        drawn_films.append(own | {"n_boxes": 5, "helper_boxes": []})
        names = LEVELS if film_id != WRONG else LEVELS[1:] + LEVELS[:1]
        of_detector = {"protocol": "patient", "detector_sha256": "w"}
        bodies += [
            own | of_detector | {"candidate": n} | dict(zip(BOX_PX, box, strict=True)) for n, box in enumerate(BODIES)
        ]
        labelling = [{"candidate": n, "level": name} for n, name in enumerate(names)]
        found.append(
            own | of_detector | {"state": "resolved", "n_candidates": 5, "margin": 2.5, "labelling": labelling}
        )
        if film_id == TAUGHT:
            copies.append(own | {"subset": "train", "copy": 0})
    for name, frame in {
        "films": pl.DataFrame(films),
        "reader_boxes": pl.DataFrame(drawn, schema=READER_BOXES),
        "drawn_films": pl.DataFrame(drawn_films, schema=DRAWN_FILMS),
        "detected_films": pl.DataFrame(found, schema=DETECTED_FILMS),
        "detection_candidates": pl.DataFrame(bodies, schema=DETECTION_CANDIDATES),
        "detector_copies": pl.DataFrame(copies, schema=DETECTOR_COPIES),
        "detector_answers": pl.DataFrame(schema=DETECTOR_ANSWERS),
    }.items():
        frame.write_delta(str(data / "lake" / "tables" / f"{name}.delta"))
    return data


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["olvf_assets", "measure-transfer", *words])
    return main()


def test_the_table_is_printed_and_lies_in_a_folder_with_every_film(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # the second one takes the place of the first
        assert run(monkeypatch, "city") == 0
    said = capsys.readouterr().out
    assert "1 films taught the detector and are left out" in said
    assert "protocol patient" in said
    assert "city (2 films)" in said
    (wrong,) = {line for line in said.splitlines() if line.startswith("films resolved but wrong")}
    assert wrong.split()[4] == "0.500"
    folder = lake / "reports" / "transfer" / "city"
    measures = pl.read_parquet(folder / "measures.parquet")
    assert dict(measures.select("measure", "value").iter_rows())["bodies_found_iou50"] == 1.0
    assert pl.read_csv(folder / "films.csv").select("film_id", "verdict").rows() == [(RIGHT, "right"), (WRONG, "wrong")]
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == [
        f"films/right/{RIGHT}.png", f"films/wrong/{WRONG}.png", "wrong_01.png",
    ]  # fmt: skip
    sheet = cv2.imread(str(folder / "wrong_01.png"))
    red = (sheet[:, :, 2].astype(int) - sheet[:, :, 1] > 120) & (sheet[:, :, 0] < 120)
    assert red.sum() > 50  # the names on other bodies


def test_only_the_table_and_another_column(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "city", "--no-pictures", "--by", "view") == 0
    folder = lake / "reports" / "transfer" / "city"
    assert sorted(path.name for path in folder.iterdir()) == [
        "films.csv", "films.parquet", "measures.csv", "measures.parquet",
    ]  # fmt: skip
    assert set(pl.read_csv(folder / "measures.csv")["collection"]) == {"neutral"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("village",), "village: no film to measure on; searched are films of city"),
        (("city", "village"), "village: no film to measure on; searched are films of city"),
        (("city", "--by", "film_id"), "--by film_id: write one of institution, view"),
    ],
)
def test_what_cannot_be_measured_is_said(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run(monkeypatch, *words) == 1
    assert said in capsys.readouterr().err
    assert not (lake / "reports").exists()
