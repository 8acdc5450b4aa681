"""The worklist's figures, held against a hospital whose every figure is known, and the page that shows them."""

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest

from olvf_assets.attention.colours import JET
from olvf_assets.foundation.tables import TableRun
from olvf_assets.profiles import load_profile
from olvf_assets.reporting import worklist_page as page_module
from olvf_assets.reporting.assets import worklist_pages
from olvf_assets.reporting.tables import WORKLIST, WORKLIST_PAGES
from olvf_assets.reporting.worklist_page import page_files, worklist_page
from olvf_assets.storage.artifacts import DamagedPictureError
from olvf_assets_tests.reporting.worklist_films import FILMS, Hospital, made_up_hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return made_up_hospital(tmp_path / "lake")


def page_of(hospital: Hospital, reports: Path, **changes: Any) -> pl.DataFrame:
    tables = {"worklist": hospital.worklist(), "films": hospital.films, "detected_films": hospital.detected_films}
    choices = {"protocol": "patient", "made_up": False, "external": True, **tables, **changes}
    return worklist_page("institution_2", store=hospital.store, reports=reports, **choices)


def data_of(reports: Path) -> list[dict[str, Any]]:
    html = (reports / "worklists/institution_2/index.html").read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(data)


def test_the_most_doubtful_come_first_with_what_each_network_said(hospital: Hospital) -> None:
    table = hospital.worklist()
    assert table.schema == WORKLIST
    # 13 of 15 networks say p, two of fold 1 say (1, 0, 0)
    means = {
        (film, level): (13 * np.array(p) + [2, 0, 0]) / 15
        for film, levels in FILMS.items()
        for level, p in levels.items()
    }
    doubts = {crop: 1 - np.subtract(*np.sort(mean)[[2, 1]]) for crop, mean in means.items()}
    assert table.select("film_id", "level").rows() == sorted(doubts, key=doubts.__getitem__, reverse=True)
    for row in table.iter_rows(named=True):
        crop = row["film_id"], row["level"]
        np.testing.assert_allclose([row["p_normal"], row["p_old"], row["p_fresh"]], means[crop])
        assert row["doubt"] == pytest.approx(doubts[crop])
    agreeing = dict(table.select("crop_id", "n_networks_of_predicted").iter_rows())
    assert agreeing == {"FA-L1": 15, "FA-L2": 13, "FB-L1": 2, "FC-L1": 13, "FC-L5": 15}
    # of folds 1 to 4 with a threshold of 0.25; in fold 1 a third of p counts
    calling = dict(table.select("crop_id", "n_folds_call_fresh").iter_rows())
    assert calling == {"FA-L1": 0, "FA-L2": 3, "FB-L1": 3, "FC-L1": 4, "FC-L5": 0}
    assert table["target_sensitivity"].unique().to_list() == [0.95]


def test_labels_and_test_samples_change_nothing_of_it(hospital: Hospital) -> None:
    table = hospital.worklist()
    no_label = pl.lit(None, pl.String).alias("label")
    unlabelled = hospital._replace(
        crops=hospital.crops.with_columns(no_label), predictions=hospital.predictions.with_columns(no_label)
    )
    assert unlabelled.worklist().drop("label").equals(table.drop("label"))
    held_out = hospital.predictions.with_columns(dataset=pl.lit("test"), sample_id=pl.col("sample_id") + "0")
    assert hospital._replace(predictions=pl.concat([hospital.predictions, held_out])).worklist().equals(table)
    empty = hospital._replace(predictions=held_out).worklist()
    assert (empty.schema, empty.height) == (WORKLIST, 0)
    of_development = hospital.predictions.with_columns(dataset=pl.lit("unlabelled"))
    assert hospital._replace(predictions=of_development).worklist().drop("dataset").equals(table.drop("dataset"))


def test_without_maps_or_thresholds_there_is_still_a_list(hospital: Hospital, tmp_path: Path) -> None:
    bare = hospital._replace(maps=hospital.maps.clear(), points=hospital.points.clear())
    table = bare.worklist()
    assert table.drop("map_path", "n_folds_call_fresh", "target_sensitivity").equals(
        hospital.worklist().drop("map_path", "n_folds_call_fresh", "target_sensitivity")
    )
    assert table["n_folds_call_fresh"].null_count() == table["map_path"].null_count() == table.height
    page_of(bare, tmp_path)
    vertebrae = [each for film in data_of(tmp_path) for each in film["vertebrae"]]
    assert {(each["map"], each["folds"]) for each in vertebrae} == {(None, None)}


def test_the_page_shows_every_film_with_the_figures_of_the_table(hospital: Hospital, tmp_path: Path) -> None:
    row = page_of(hospital, tmp_path)
    assert row.schema == WORKLIST_PAGES
    assert row.drop("sha256").rows() == [("institution_2", "worklists/institution_2/index.html", 4, 3, 5, 2)]
    films = {film["film"]: film for film in data_of(tmp_path)}
    assert list(films) == ["FA", "FB", "FC", "FD"]
    assert {film["film"]: film["state"] for film in films.values()} == {
        "FA": "resolved", "FB": "resolved", "FC": "resolved", "FD": "ambiguous"
    }  # fmt: skip
    assert {film["film"]: film["header"] for film in films.values() if film["header"]} == {
        "FB": "ViewPosition LL, but the picture looks frontal"
    }
    second = films["FA"]["vertebrae"][1]
    assert (second["level"], second["predicted"], second["networks"], second["folds"]) == ("L2", "fresh", 13, 3)
    assert second["p"] == [0.22, 0.1733, 0.6067]
    assert second["box"] == [0.1, round(52 / 120, 5), 0.5, 0.7]
    assert films["FA"]["aspect"] == 0.75
    named = {films["FA"][size] for size in ("thumbs", "films")} | {second["map"]}
    assert named <= {
        str(path.relative_to(tmp_path / "worklists/institution_2")) for path in page_files(tmp_path, "institution_2")
    }


def test_whoever_asks_finds_the_same_files_beside_the_table(hospital: Hospital, tmp_path: Path) -> None:
    row = page_of(hospital, tmp_path / "reports")
    files = page_files(tmp_path / "reports", "institution_2")
    assert len(files) == 1 + 2 * 4 + 5
    assert worklist_pages.beside is not None
    for institution in ("", "institution_2"):
        run = TableRun(load_profile("ci"), hospital.store, tmp_path, institution=institution)
        assert worklist_pages.beside(run, row) == files
        assert worklist_pages.beside(run, row.clear()) == []


def test_a_film_whose_vertebrae_are_all_left_out_says_so(hospital: Hospital, tmp_path: Path) -> None:
    without = hospital.predictions.filter(~pl.col("crop_id").str.starts_with("FB"))
    states = hospital.detected_films.filter(pl.col("film_id") != "FC")
    page_of(hospital._replace(predictions=without), tmp_path, detected_films=states)
    found = {film["film"]: film["state"] for film in data_of(tmp_path)}
    assert found == {"FA": "resolved", "FB": "excluded", "FC": "not_searched", "FD": "ambiguous"}


def test_pictures_are_the_film_and_the_part_of_the_map_that_lies_on_it(hospital: Hospital, tmp_path: Path) -> None:
    page_of(hospital, tmp_path)
    folder, film = tmp_path / "worklists/institution_2", data_of(tmp_path)[0]
    original = hospital.store.load_image(hospital.films["image_path"][0])
    shown = cv2.imread(str(folder / film["films"]), cv2.IMREAD_GRAYSCALE)
    assert shown.shape == original.shape  # a film smaller than the page's picture is not enlarged
    assert np.abs(shown.astype(int) - original).mean() < 12  # noise is hard on JPEG
    coloured = cv2.imread(str(folder / film["vertebrae"][0]["map"]), cv2.IMREAD_UNCHANGED)
    levels = hospital.store.load_image(hospital.maps["map_path"][0])[0:16, 2:20]
    np.testing.assert_array_equal(coloured[..., :3], JET[levels][..., ::-1])
    np.testing.assert_array_equal(coloured[..., 3], (levels * 0.6).astype(np.uint8))


def test_only_what_is_new_is_drawn_and_what_is_old_goes(hospital: Hospital, tmp_path: Path, monkeypatch) -> None:
    page_of(hospital, tmp_path)
    drawn: list[str] = []
    draw = page_module._draw

    def noted(job, store, folder):
        drawn.append(job[0])
        draw(job, store, folder)

    monkeypatch.setattr(page_module, "_draw", noted)
    before = {path: path.stat().st_mtime_ns for path in page_files(tmp_path, "institution_2")}
    first = page_of(hospital, tmp_path)
    assert drawn == []
    lost = tmp_path / "worklists/institution_2" / data_of(tmp_path)[2]["thumbs"]
    lost.unlink()
    assert page_of(hospital, tmp_path).equals(first)
    assert drawn == [hospital.films["image_path"][2]]
    assert set(page_files(tmp_path, "institution_2")) == set(before)
    page_of(hospital, tmp_path, films=hospital.films[:1])
    left = page_files(tmp_path, "institution_2")
    assert len(left) == 1 + 2 + 2  # the page, a film in two sizes, two maps


def test_of_a_development_hospital_only_what_no_network_learnt_from_is_shown(
    hospital: Hospital, tmp_path: Path
) -> None:
    page_of(hospital, tmp_path)
    page_of(hospital, tmp_path, external=False)
    assert [film["film"] for film in data_of(tmp_path)] == ["FA", "FB", "FC"]
    assert page_of(hospital, tmp_path, external=False, worklist=hospital.worklist().clear()).is_empty()
    assert page_files(tmp_path, "institution_2") == []


def test_names_that_look_like_markup_stay_text(hospital: Hospital, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    page_of(hospital, tmp_path, films=hospital.films.with_columns(view=pl.lit(evil)))
    assert evil not in (tmp_path / "worklists/institution_2/index.html").read_text()
    assert data_of(tmp_path)[0]["view"] == evil


def test_a_picture_that_is_gone_is_named_and_no_page_is_written(hospital: Hospital, tmp_path: Path) -> None:
    path = hospital.store.path(hospital.films["image_path"][1])
    path.unlink()
    with pytest.raises(DamagedPictureError, match=path.name):
        page_of(hospital, tmp_path)
    assert not (tmp_path / "worklists/institution_2/index.html").exists()


def test_synthetic_films_are_called_so(hospital: Hospital, tmp_path: Path) -> None:
    for made_up in (True, False):
        page_of(hospital, tmp_path, made_up=made_up)
        html = (tmp_path / "worklists/institution_2/index.html").read_text()
        assert ("Synthetic films" in html) is made_up
        assert "Not a medical device" in html
        assert not re.search(r"https?://", html)
