import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import polars as pl
import pytest

from olvf_assets.evaluation.tables import METRIC_TABLE
from olvf_assets.reporting import drawing
from olvf_assets.reporting.gallery import draw_gallery, figure_table
from olvf_assets.reporting.page import write_report
from olvf_assets.reporting.printing import metrics_text
from olvf_assets.reporting.sheets import draw_crop_sheet, draw_film_sheet
from olvf_assets.reporting.tables import REPORT_FIGURES
from olvf_assets.reporting.thesis_table6 import table_6
from olvf_assets_tests.reporting.made_up import REPORTING, load_made_up_image, made_up_tables


@pytest.fixture(scope="module")
def tables():
    return made_up_tables()


@pytest.fixture(scope="module")
def report(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    pictures = draw_gallery(folder, tables, load_made_up_image, REPORTING, seed=1)
    page = write_report(folder, pictures, tables, "demo", synthetic={"institution_1": True})
    return pictures, page.read_text(encoding="utf-8")


def colours(path) -> set[tuple[int, ...]]:
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return set(map(tuple, pixels.reshape(-1, 3).tolist()))


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_page_holds_every_picture_byte_for_byte_and_asks_for_nothing_else(report):
    pictures, html = report
    embedded = [base64.b64decode(each) for each in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)]
    assert embedded == [picture.path.read_bytes() for picture in pictures]
    assert len(embedded) == 12
    assert "<script" not in html
    leads_to = set(re.findall(r"(?:src|href)=\"(?!data:|#)([^\"]*)", html))
    assert leads_to == {"data_docs/index.html"}


def test_page_links_the_data_docs_with_what_they_say(report):
    assert "81 of 82 expectations about headers, subjects, labels and boxes were met" in " ".join(report[1].split())


def test_page_is_well_formed(report):
    class Balanced(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Balanced()
    parser.feed(report[1])
    assert parser.open == []


def test_page_says_what_it_is_not_and_that_its_data_are_synthetic(report, tables, tmp_path):
    assert "Research use only. This is not a medical device" in report[1]
    assert "Synthetic data" in report[1]
    real = write_report(tmp_path, [], tables, "thesis", synthetic={"institution_1": False}).read_text(encoding="utf-8")
    assert "not a medical device" in real
    assert "Synthetic data" not in real
    both = {"institution_1": True, "institution_3": False}
    mixed = write_report(tmp_path, [], tables, "demo", synthetic=both).read_text(encoding="utf-8")
    assert "patients of institution_1 were computed; those of institution_3 were handed" in mixed
    assert "no figure here says anything" not in mixed


def test_page_shows_the_runs_figures_with_the_thesis_figures_and_labels_beside(report, tables):
    where = {"model": "ensemble", "fold": "mean", "positive_class": "old", "metric": "false_discovery_rate"}
    for method in ("patient_bootstrap", "wald"):
        row = tables["external_metrics"].filter(ci_method=method, **where).row(0, named=True)
        assert f"{row['value']:.3f} [{row['ci_low']:.3f}–{row['ci_high']:.3f}]" in report[1]
    for expected in ("0.264", "0.161 [0.111–0.211]", "the thesis calls it “false positive rate”", "0.982"):
        assert expected in report[1]


def test_page_of_a_study_without_external_hospital_or_crops_is_still_a_page(tables, tmp_path):
    empty = {name: frame.clear() for name, frame in tables.items()}
    pictures = draw_gallery(tmp_path, empty, load_made_up_image, REPORTING, seed=1)
    html = write_report(tmp_path, pictures, empty, "ci", synthetic={"institution_1": True}).read_text(encoding="utf-8")
    assert "No institution has scored crops yet" in html
    assert html.count("<img") == 10


def test_same_tables_give_the_same_bytes_without_dates(report, tables, tmp_path):
    again = draw_gallery(tmp_path, tables, load_made_up_image, REPORTING, seed=1)
    for first, second in zip(report[0], again, strict=True):
        data = second.path.read_bytes()
        assert data == first.path.read_bytes()
        assert b"tEXt" not in data
        assert b"tIME" not in data


def test_figure_table_names_each_file_with_its_hash(report):
    pictures, _ = report
    table = figure_table(pictures, pictures[0].path.parent)
    assert table.schema == REPORT_FIGURES
    flows = [f"stard_flow_{institution}.svg" for institution in ("institution_1", "institution_2")]
    assert sorted(table["path"]) == sorted([*(f"{picture.name}.png" for picture in pictures), *flows])
    assert table["sha256"].str.len_chars().to_list() == [64] * 14


def test_crop_frames_have_the_colour_of_the_predicted_class(tmp_path):
    crop = {"protocol": "patient", "institution": "institution_2", "crop_id": "F1-L1"}
    crops = pl.DataFrame([crop | {"image_path": "crop"}])
    predictions = pl.DataFrame([crop]).with_columns(
        dataset=pl.lit("external"),
        model=pl.lit("ensemble_of_15"),
        replica=0,
        label=pl.lit("normal"),
        predicted=pl.lit("fresh"),
        p_fresh=0.8,
    )
    path = tmp_path / "sheet.png"
    settings = REPORTING.model_copy(update={"dots_per_inch": 150})
    draw_crop_sheet(crops, predictions, load_made_up_image, path, settings, seed=1)
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).reshape(-1, 3)
    count = {name: int((pixels == rgb(colour)).all(axis=1).sum()) for name, colour in drawing.CLASS_COLOURS.items()}
    assert count["fresh"] > 2 * count["old"]
    assert count["fresh"] > 2 * count["normal"]


def test_film_sheet_shows_as_many_films_as_asked_and_both_kinds_of_boxes(tables, tmp_path):
    asked = []

    def load(relative: str) -> np.ndarray:
        asked.append(relative)
        return load_made_up_image(relative)

    path = tmp_path / "sheet.png"
    draw_film_sheet(tables["films"], tables["reader_boxes"], tables["detections"], load, path, REPORTING, seed=1)
    assert len(asked) == len(set(asked)) == 6
    draw_film_sheet(tables["films"], tables["reader_boxes"], tables["detections"], load, path, REPORTING, seed=1)
    assert asked[6:] == asked[:6]


def test_roc_picture_uses_the_three_class_colours(report):
    pictures, _ = report
    assert {rgb(colour) for colour in drawing.CLASS_COLOURS.values()} <= colours(pictures[2].path)


def test_printed_tables_hold_the_bootstrap_figures_aligned(tables):
    text = metrics_text(tables["test_metrics"], tables["external_metrics"])
    blocks = text.split("\n\n")
    assert [block.splitlines()[0].split("  ")[0] for block in blocks[:2]] == [
        "Institution 1, held-out test",
        "Institution 2, external",
    ]
    for block, table in zip(blocks, (tables["test_metrics"], tables["external_metrics"]), strict=False):
        lines = block.splitlines()[1:]
        assert len(lines) == 7
        assert len({len(line) for line in lines}) == 1
        row = table.filter(
            model="ensemble", fold="mean", metric="auc", positive_class="fresh", ci_method="patient_bootstrap"
        ).row(0, named=True)
        assert f"{row['value']:.3f} [{row['ci_low']:.3f}–{row['ci_high']:.3f}]" in lines[-1]
    replicas = tables["test_metrics"].filter(
        model="ensemble", fold="mean", metric="accuracy", positive_class="all", ci_method="wald"
    )
    assert blocks[0].splitlines()[2].endswith(f"{replicas['value'].item():.3f}")


def test_printed_tables_show_a_dash_for_what_is_not_defined(tables):
    undefined = tables["external_metrics"].with_columns(
        value=pl.when(pl.col("metric") == "auc").then(float("nan")).otherwise("value"),
        ci_low=pl.when(pl.col("metric") == "auc").then(float("nan")).otherwise("ci_low"),
    )
    text = metrics_text(tables["test_metrics"], undefined)
    line = next(line for line in text.split("\n\n")[1].splitlines() if line.startswith("AUC"))
    assert line.split() == ["AUC", "–", "–", "–", "–"]
    assert "No metrics yet" in metrics_text(METRIC_TABLE.to_frame(), METRIC_TABLE.to_frame())


def test_thesis_all_column_is_the_mean_of_its_classes():
    for row in table_6():
        for dataset in ("test", "external"):
            whole, *classes = (row.value(dataset, name) for name in ("all", "normal", "old", "fresh"))
            assert whole == pytest.approx(sum(classes) / 3, abs=0.0011), row.metric
        low, high = row.interval("test", "all")
        assert low < row.value("test", "all") < high
        assert row.interval("external", "old") is None
