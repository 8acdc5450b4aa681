import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import polars as pl
import pytest

from olvf_assets.evaluation.tables import METRIC_TABLE
from olvf_assets.reporting import drawing
from olvf_assets.reporting.page import SECTIONS, page_text
from olvf_assets.reporting.pictures import tables_read
from olvf_assets.reporting.printing import metrics_text
from olvf_assets.reporting.redrawing import pictures_of
from olvf_assets.reporting.report import PICTURES, figure_table, make_report
from olvf_assets.reporting.sheets import crop_sheet, film_sheet
from olvf_assets.reporting.tables import REPORT_FIGURES
from olvf_assets.reporting.thesis_table6 import table_6
from olvf_assets_tests.reporting.made_up import REPORTING, MadeUpStore, made_up_tables, run_in


@pytest.fixture(scope="module")
def tables():
    return made_up_tables()


@pytest.fixture(scope="module")
def report(tables, tmp_path_factory):
    data = tmp_path_factory.mktemp("report")
    table = make_report(run_in(data), tables, data / "reports")
    return Report(data / "reports", table, (data / "reports" / "index.html").read_text(encoding="utf-8"))


class Report(NamedTuple):
    folder: Path
    table: pl.DataFrame
    html: str


def page_without_pictures(tables: dict[str, pl.DataFrame], made_up: set[str], **other: pl.DataFrame) -> str:
    known = {name: tables[name] for name in tables_read(page_text)}
    return page_text([], "demo", made_up, **{**known, **other})


def colours(path) -> set[tuple[int, ...]]:
    pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return set(map(tuple, pixels.reshape(-1, 3).tolist()))


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def test_page_holds_every_picture_byte_for_byte_in_its_section_and_asks_for_nothing_else(report):
    embedded = [base64.b64decode(each) for each in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", report.html)]
    drawn = {path.stem: path.read_bytes() for path in report.folder.glob("*.png")}
    assert sorted(embedded) == sorted(drawn.values())
    assert len(embedded) == 14
    assert "<script" not in report.html
    leads_to = set(re.findall(r"(?:src|href)=\"(?!data:|#)([^\"]*)", report.html))
    assert leads_to == {"data_docs/index.html", "worklists/institution_2/index.html"}
    sections = dict(re.findall(r'<h2 id="(\w+)">(.*?)(?=<h2|</body>)', report.html, re.DOTALL))
    assert list(sections) == list(SECTIONS)
    for each in PICTURES:
        if not each.per:
            assert f'alt="{each.title}"' in sections[each.section]


def test_page_links_the_data_docs_with_what_they_say(report):
    assert "81 of 82 expectations about headers, subjects, labels and boxes were met" in " ".join(report.html.split())


def test_page_links_the_worklists_and_says_nothing_of_them_where_there_are_none(report, tables):
    words = " ".join(re.sub(r"<[^>]*>", "", report.html).split())
    assert "worklist of Institution 2 (12 films, 50 vertebrae judged, 7 called fresh)." in words
    assert "worklist" not in page_without_pictures(tables, set(), worklist_pages=tables["worklist_pages"].clear())


def test_page_says_in_words_what_sets_a_hospital_apart(report, tables):
    words = " ".join(re.sub(r"<[^>]*>", " ", report.html).split())
    assert (
        "Institution 2 : 2 of 3 features differ; 3 films look like no development film. Against the internal test of "
        "Institution 1: accuracy -0.085 (-0.144 to -0.023), false discovery rate +0.149 (+0.033 to +0.266)." in words
    )
    assert re.search(r"Sensitivity for fresh fractures is 0\.\d{3} on \d+ of them and takes \d+ more", words)
    error = tables["calibration"].filter(
        institution="institution_2", model="ensemble", fold="mean", positive_class="all",
        metric="expected_calibration_error",
    )  # fmt: skip
    as_given, temperature, refitted = (
        f"{value:.3f} [{low:.3f}–{high:.3f}]" for value, low, high in error.select("value", "ci_low", "ci_high").rows()
    )
    assert (
        f"Calibration error: as given {as_given}, with the temperature of development {temperature}, refitted on four "
        f"fifths of its patients and measured on the rest {refitted}." in words
    )
    assert "device (PSI 4.0) kvp" in words
    assert "age (PSI" not in words
    nothing = {name: tables[name].clear() for name in ("site_shift", "far_films")}
    assert "features differ" not in page_without_pictures(tables, set(), **nothing)


def test_page_says_why_a_small_hospital_could_not_be_refitted(tables):
    nan = pl.lit(float("nan"))
    refitted = pl.col("probabilities") == "refitted_at_site"
    small = tables["calibration"].with_columns(
        value=pl.when(refitted).then(nan).otherwise("value"),
        reason=pl.when(refitted).then(pl.lit("too few patients to refit")).otherwise("reason"),
    )
    page = " ".join(page_without_pictures(tables, set(), calibration=small).split())
    assert "] (too few patients to refit)." in page
    assert "refitted on four fifths of its patients and measured" not in page


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
    parser.feed(report.html)
    assert parser.open == []


def test_page_says_what_it_is_not_and_that_its_data_are_synthetic(report, tables):
    assert "Research use only. This is not a medical device" in report.html
    assert "Synthetic data" in report.html
    real = page_without_pictures(tables, set())
    assert "not a medical device" in real
    assert "Synthetic data" not in real
    keys = pl.DataFrame({"institution": ["institution_3", "institution_1"]})
    mixed = page_without_pictures(tables, {"institution_1"}, institutions=keys)
    assert "patients of institution_1 were computed; those of institution_3 were handed" in mixed
    assert "no figure here says anything" not in mixed


def test_page_shows_the_runs_figures_with_the_thesis_figures_and_labels_beside(report, tables):
    where = {"model": "ensemble", "fold": "mean", "positive_class": "old", "metric": "false_discovery_rate"}
    for method in ("patient_bootstrap", "wald"):
        row = tables["external_metrics"].filter(ci_method=method, **where).row(0, named=True)
        assert f"{row['value']:.3f} [{row['ci_low']:.3f}–{row['ci_high']:.3f}]" in report.html
    for expected in ("0.264", "0.161 [0.111–0.211]", "the thesis calls it “false positive rate”", "0.982"):
        assert expected in report.html


def test_page_of_a_study_without_external_hospital_or_crops_is_still_a_page(tables, tmp_path):
    empty = {name: frame.clear() for name, frame in tables.items()}
    make_report(run_in(tmp_path), empty, tmp_path)
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "No institution has scored crops yet" in html
    assert html.count("<img") == 9


def test_same_tables_give_the_same_bytes_without_dates_whatever_the_machine_s_own_style(report, tables, tmp_path):
    with matplotlib.rc_context({"axes.grid": True, "font.size": 20, "savefig.facecolor": "red"}):
        again = make_report(run_in(tmp_path), tables, tmp_path)
    assert again.equals(report.table)
    for name in again["path"]:
        data = (tmp_path / name).read_bytes()
        assert data == (report.folder / name).read_bytes()
        assert b"tEXt" not in data
        assert b"tIME" not in data


def test_figure_table_names_each_file_with_its_hash(report):
    assert report.table.schema == REPORT_FIGURES
    assert set(report.table["path"]) == {each.name for each in report.folder.iterdir()} - {"index.html"}
    assert report.table["path"].n_unique() == 16
    assert {name.split(".")[0] for name in report.table["path"]} == set(report.table["figure"])
    for path, sha256 in report.table.select("path", "sha256").iter_rows():
        assert hashlib.sha256((report.folder / path).read_bytes()).hexdigest() == sha256
    flow = report.table.filter(path="stard_flow_institution_2.svg").row(0, named=True)
    assert flow["title"] == "Flow of participants, Institution 2"
    assert figure_table([]).schema == REPORT_FIGURES


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
    profile = run_in(tmp_path).profile
    sharp = profile.model_copy(update={"reporting": REPORTING.model_copy(update={"dots_per_inch": 150})})
    tables = {"vertebra_crops": crops, "ensemble_predictions": predictions}
    pictures_of([crop_sheet], tables, run_in(tmp_path, sharp), tmp_path)
    pixels = cv2.cvtColor(cv2.imread(str(tmp_path / "crop_sheet.png")), cv2.COLOR_BGR2RGB).reshape(-1, 3)
    count = {name: int((pixels == rgb(colour)).all(axis=1).sum()) for name, colour in drawing.CLASS_COLOURS.items()}
    assert count["fresh"] > 2 * count["old"]
    assert count["fresh"] > 2 * count["normal"]


def test_film_sheet_shows_as_many_films_as_asked_and_the_same_ones_each_time(tables, tmp_path):
    asked = []
    for folder in (tmp_path / "first", tmp_path / "again"):
        run = run_in(folder)
        assert isinstance(run.store, MadeUpStore)
        pictures_of([film_sheet], tables, run, folder)
        asked.append(run.store.asked)
    assert len(asked[0]) == len(set(asked[0])) == 6
    assert asked[0] == asked[1]


def test_roc_picture_uses_the_three_class_colours(report):
    wanted = {rgb(colour) for colour in drawing.CLASS_COLOURS.values()}
    assert wanted <= colours(report.folder / "roc_curves.png")


def test_printed_tables_hold_the_bootstrap_figures_aligned(tables):
    text = metrics_text(tables["test_metrics"], tables["external_metrics"], tables["participant_flow"])
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
    text = metrics_text(tables["test_metrics"], undefined, tables["participant_flow"])
    line = next(line for line in text.split("\n\n")[1].splitlines() if line.startswith("AUC"))
    assert line.split() == ["AUC", "–", "–", "–", "–"]
    assert "No metrics yet" in metrics_text(
        METRIC_TABLE.to_frame(), METRIC_TABLE.to_frame(), tables["participant_flow"].clear()
    )


def test_thesis_all_column_is_the_mean_of_its_classes():
    for row in table_6():
        for dataset in ("test", "external"):
            whole, *classes = (row.value(dataset, name) for name in ("all", "normal", "old", "fresh"))
            assert whole == pytest.approx(sum(classes) / 3, abs=0.0011), row.metric
        low, high = row.interval("test", "all")
        assert low < row.value("test", "all") < high
        assert row.interval("external", "old") is None
