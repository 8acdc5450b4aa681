"""Which pictures are drawn again after a change of each kind."""

import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import polars as pl
import pytest
from matplotlib.figure import Figure

from olvf_assets.foundation import code_identity
from olvf_assets.foundation.made import WHOLE
from olvf_assets.foundation.settings import settings_read
from olvf_assets.foundation.table_code import TableCode, code_of
from olvf_assets.foundation.tables import TableRun
from olvf_assets.foundation.vocabulary import PROTOCOLS
from olvf_assets.orchestration.parts import Lake, Parts
from olvf_assets.profiles import load_profile
from olvf_assets.reporting import redrawing
from olvf_assets.reporting.assets import report_figures
from olvf_assets.reporting.attention_pictures import attention_films
from olvf_assets.reporting.figures import confusion_matrices
from olvf_assets.reporting.pictures import Frames, Look, Picture, picture
from olvf_assets.reporting.redrawing import RECORDS, pictures_of, remove_others
from olvf_assets.reporting.report import PICTURES, tables_of_report
from olvf_assets.reporting.sheets import film_sheet
from olvf_assets.reporting.stard import stard_flow
from olvf_assets.reporting.tables import REPORT_FIGURES
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.records import Records
from olvf_assets_tests.reporting.made_up import made_up_tables, run_in

WIDTH = 1.0


def half(number: int) -> float:
    return number / 2


def height_of(number: int) -> float:
    return half(number) + 1


@picture(title="Counts", caption="how many", section="metrics")
def counts(look: Look, totals: pl.DataFrame) -> Figure:
    figure = Figure((2, 2))
    figure.subplots().bar(totals["name"], [height_of(n) for n in totals["n"]], width=WIDTH)
    return figure


@picture(title="Hospital {key}", caption="of one", section="flow", per="institution", vector=True)
def hospital(look: Look, flow: pl.DataFrame) -> Figure:
    figure = Figure((2, 2))
    figure.suptitle(f"{look.title}: {flow['n'].sum()} {'*' * look.settings.films_per_institution}")
    return figure


def the_most(look: Look, flow: pl.DataFrame, totals: pl.DataFrame) -> Frames:
    return {"most": flow.sort("n", descending=True).head(2).select("institution")}


@picture(title="Most", caption="the two", section="flow", shown=the_most, style={}, dots_per_inch=50)
def most(look: Look, most: pl.DataFrame) -> Figure:
    figure = Figure((2, 2))
    figure.suptitle(f"{', '.join(most['institution'])} {look.seed}")
    return figure


DECLARED = (counts, hospital, most)
TABLES = {
    "totals": pl.DataFrame({"name": ["a", "b"], "n": [1, 2]}),
    "flow": pl.DataFrame({"institution": ["a", "a", "b", "c"], "n": [4, 2, 9, 1]}),
}
HOSPITALS = {"hospital_a", "hospital_b", "hospital_c"}
ALL = {"counts", "most", *HOSPITALS}


class Report:
    """A report's folder, its tables and its run, to be changed."""

    def __init__(self, data: Path) -> None:
        self.folder, self.tables, self.run = data / "reports", dict(TABLES), run_in(data)

    def draw(self, pictures: tuple[Picture, ...] = DECLARED) -> set[str]:
        """Return the names of the pictures that are drawn."""
        shown = pictures_of(pictures, self.tables, self.run, self.folder)
        remove_others(shown, self.run, self.folder)
        return {each.name for each in shown if each.drawn}

    def files(self) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in self.folder.iterdir()}

    def from_nothing(self, data: Path, pictures: tuple[Picture, ...] = DECLARED) -> dict[str, bytes]:
        anew = Report(data)
        anew.tables, anew.run = self.tables, run_in(data, self.run.profile)
        anew.draw(pictures)
        return anew.files()

    def with_profile(self, **changes: Any) -> TableRun:
        return run_in(self.run.data, self.run.profile.model_copy(update=changes))


Change = Callable[[Report, pytest.MonkeyPatch], None]


def rows(**tables: pl.DataFrame) -> Change:
    return lambda report, patch: report.tables.update(tables)


def setting(name: str, value: int) -> Change:
    def change(report: Report, patch: pytest.MonkeyPatch) -> None:
        settings = report.run.profile.reporting.model_copy(update={name: value})
        report.run = report.with_profile(reporting=settings)

    return change


def seed(report: Report, patch: pytest.MonkeyPatch) -> None:
    report.run = report.with_profile(seed=2)


def code(before: str, after: str, module: str = __name__) -> Change:
    """Change a text as it is read, not what it does."""

    def change(report: Report, patch: pytest.MonkeyPatch) -> None:
        sources = code_identity.Sources()
        sources._know(module)
        assert before in sources._texts[module]
        sources._texts[module] = sources._texts[module].replace(before, after, 1)
        patch.setattr(code_identity, "sources", lambda: sources)

    return change


def library(report: Report, patch: pytest.MonkeyPatch) -> None:
    versions, found_anew = code_identity._versions, code_identity.Sources()
    patch.setattr(code_identity, "sources", lambda: found_anew)
    patch.setattr(code_identity, "_versions", lambda tops: {
        name: "99" if name == "matplotlib" else number for name, number in versions(tops).items()
    })  # fmt: skip


def file(name: str, content: bytes | None) -> Change:
    def change(report: Report, patch: pytest.MonkeyPatch) -> None:
        (report.folder / name).unlink()
        if content is not None:
            (report.folder / name).write_bytes(content)

    return change


def exchanged(report: Report, patch: pytest.MonkeyPatch) -> None:
    (report.folder / "hospital_a.png").write_bytes((report.folder / "hospital_b.png").read_bytes())


def torn(report: Report, patch: pytest.MonkeyPatch) -> None:
    (record,) = (report.run.store.root).rglob("hospital_c.json")
    record.write_text(record.read_text()[:40])


def forced(report: Report, patch: pytest.MonkeyPatch) -> None:
    report.run = TableRun(report.run.profile, report.run.store, report.run.data, forced=True)


TOTALS, FLOW = TABLES["totals"], TABLES["flow"]
CHANGES: dict[str, tuple[Change, set[str]]] = {
    "nothing": (rows(), set()),
    "rows in another order": (rows(flow=FLOW.sort("institution", "n")), {"hospital_a"}),
    "a row of a table": (rows(totals=TOTALS.with_columns(n=pl.Series([1, 3]))), {"counts"}),
    "a type of a table": (rows(totals=TOTALS.cast({"n": pl.Int32})), {"counts"}),
    "a row of a hospital": (rows(flow=FLOW.with_columns(n=pl.Series([4, 2, 9, 2]))), {"hospital_c"}),
    "a row of a hospital, shown": (rows(flow=FLOW.with_columns(n=pl.Series([9, 2, 4, 1]))), {
        "hospital_a", "hospital_b", "most",
    }),
    "a new hospital": (rows(flow=pl.concat([FLOW, pl.DataFrame({"institution": ["d"], "n": [1]})])), {"hospital_d"}),
    "a hospital that has gone": (rows(flow=FLOW.filter(pl.col("institution") != "c")), set()),
    "a setting": (setting("films_per_institution", 4), HOSPITALS),
    "a setting that nothing reads": (setting("crops_per_class", 4), set()),
    "the resolution": (setting("dots_per_inch", 41), ALL - {"most"}),
    "the seed": (seed, {"most"}),
    "a line": (code("figure.subplots().bar", "figure.subplots() .bar"), {"counts"}),
    "a function two calls deep": (code("return number / 2", "return number / 2.0"), {"counts"}),
    "a constant": (code("WIDTH = 1.0", "WIDTH = 1.00"), {"counts"}),
    "what is picked": (code(".head(2)", ".head( 2)"), {"most"}),
    "a caption": (code('caption="of one"', 'caption="of each"'), HOSPITALS),
    "a comment": (code("    figure = Figure", "    # why\n    figure = Figure"), set()),
    "how all are saved": (code("dpi=dots", "dpi= dots", "olvf_assets.reporting.drawing"), ALL),
    "how all look": (code('"font.size": 9', '"font.size":  9', "olvf_assets.reporting.drawing"), ALL),
    "how others are drawn": (code("import math", "import math ", "olvf_assets.reporting.figures"), set()),
    "a library": (library, ALL),
    "a file that is gone": (file("counts.png", None), {"counts"}),
    "a file that is empty": (file("most.png", b""), {"most"}),
    "a vector that is gone": (file("hospital_b.svg", None), {"hospital_b"}),
    "a file for another": (exchanged, {"hospital_a"}),
    "a record cut off": (torn, {"hospital_c"}),
    "a wish": (forced, ALL),
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data folder of a report that was drawn; change a copy."""
    data = tmp_path_factory.mktemp("drawn")
    assert Report(data).draw() == ALL
    return data


@pytest.mark.parametrize(("change", "again"), CHANGES.values(), ids=CHANGES.keys())
def test_exactly_what_depends_on_a_change_is_drawn_and_all_is_as_from_nothing(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change, again: set[str]
) -> None:
    report = Report(copytree(drawn, tmp_path / "kept"))
    change(report, monkeypatch)
    assert report.draw() == again
    assert report.files() == report.from_nothing(tmp_path / "anew")
    report.run = run_in(report.run.data, report.run.profile)
    assert report.draw() == set()
    assert Records(report.run.store).parts(RECORDS) == sorted({name.split(".")[0] for name in report.files()})


def test_what_stands_rests_on_the_settings_that_it_was_drawn_with(drawn: Path, tmp_path: Path) -> None:
    report = Report(copytree(drawn, tmp_path / "kept"))
    with settings_read(report.run.profile) as read:
        assert report.draw() == set()
    assert read.paths == {"reporting.dots_per_inch", "reporting.films_per_institution", "seed"}


def test_a_fault_while_drawing_leaves_the_old_picture_and_draws_it_next_time(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report(copytree(drawn, tmp_path / "kept"))
    before = report.files()
    report.tables["totals"] = TOTALS.with_columns(n=pl.Series([5, 5]))
    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", killed)
        with pytest.raises(RuntimeError, match="killed"):
            report.draw()
    assert report.files() == before
    assert report.draw() == {"counts"}


def test_a_run_killed_before_its_record_is_kept_draws_again(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report(copytree(drawn, tmp_path / "kept"))
    report.tables["totals"] = TOTALS.with_columns(n=pl.Series([5, 5]))
    with monkeypatch.context() as patch:
        patch.setattr(Records, "keep", lambda *arguments: killed(None, tmp_path / "record"))
        with pytest.raises(RuntimeError, match="killed"):
            report.draw()
    report.tables["totals"] = TOTALS  # what the record in place still speaks of
    assert report.draw() == {"counts"}
    assert report.files() == report.from_nothing(tmp_path / "anew")


def test_random_changes_give_the_pictures_of_a_report_drawn_from_nothing(drawn: Path, tmp_path: Path) -> None:
    lots = random.Random(3)
    report = Report(copytree(drawn, tmp_path / "kept"))
    for number in range(10):
        for _ in range(lots.randint(1, 2)):
            hospitals = sorted(lots.sample("abcd", lots.randint(0, 4)))
            counted = [lots.randint(1, 3) for _ in hospitals]
            flow = pl.DataFrame({"institution": hospitals, "n": counted}, schema=FLOW.schema)
            many = lots.randint(3, 4)
            lots.choice([
                rows(flow=flow), rows(totals=TOTALS.head(many - 2)), seed, setting("films_per_institution", many),
                setting("dots_per_inch", 37 + many), file(lots.choice(sorted(report.files())), b"other"),
            ])(report, pytest.MonkeyPatch())  # fmt: skip
        report.draw()
        assert report.files() == report.from_nothing(tmp_path / str(number)), number
        assert report.draw() == set()


def killed(figure: Figure | None, path: Path, **options: Any) -> None:
    path.write_bytes(b"half")
    raise RuntimeError("killed")


def test_other_pictures_of_the_folder_go_and_other_files_stay(drawn: Path, tmp_path: Path) -> None:
    report = Report(copytree(drawn, tmp_path / "kept"))
    for name in ("of_an_old_release.png", ".partial-0.svg", "index.html"):
        (report.folder / name).write_text("old")
    (report.folder / "data_docs").mkdir()
    (report.folder / "data_docs" / "logo.png").write_text("theirs")
    report.draw((counts, most))
    assert {path.name for path in report.folder.rglob("*")} == {
        "counts.png", "most.png", "index.html", "data_docs", "logo.png",
    }  # fmt: skip


def of_frames(picture: Picture, look: Look, frames: Frames, paths: list[Path]) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str([frame.rows() for frame in frames.values()]))


@pytest.fixture(scope="module")
def made_up() -> dict[str, pl.DataFrame]:
    tables = made_up_tables()
    return {name: tables[name] for name in tables_of_report()}


@pytest.fixture
def study(made_up: dict[str, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """Return the report's own pictures as they were drawn, in place of each the text of its rows."""
    monkeypatch.setattr(redrawing, "_draw", of_frames)
    report = Report(tmp_path / "data")
    report.tables = made_up
    assert report.draw(PICTURES) >= {each.name for each in PICTURES if each.per is None}
    return report


def test_a_table_s_change_is_seen_by_the_pictures_that_read_it_and_no_others(study: Report, tmp_path: Path) -> None:
    tables = study.tables
    for name, frame in tables.items():
        study.tables = {**tables, name: frame.clear()}
        readers = {
            member.name
            for each in PICTURES
            if name in (each.reads if each.per is None else each.reads[1:])  # no member without its first table
            for member in each.members(tables)
            if not member.tables[name].is_empty()
        }
        assert study.draw(PICTURES) == readers, name
        study.tables = tables
        study.draw(PICTURES)
    assert study.files() == study.from_nothing(tmp_path / "anew", PICTURES)


def another_hospital(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return tables with a third hospital, whose rows are those of the second."""

    def renamed(frame: pl.DataFrame) -> pl.DataFrame:
        second = frame.filter(institution="institution_2")
        return second.with_columns(institution=pl.lit("institution_3"))

    return {
        name: pl.concat([frame, renamed(frame)]) if "institution" in frame.columns else frame
        for name, frame in tables.items()
    }


def test_a_new_hospital_leaves_what_is_of_others_alone(study: Report) -> None:
    study.tables = another_hospital(study.tables)
    everything = {path.stem for path in study.folder.iterdir()}
    everything |= {f"{name}_institution_3" for name in ("stard_flow", "draft_corrections", "film_sheet")}
    of_others = {"stard_flow_institution_1", "stard_flow_institution_2", "training_curves", "detector_pr_curves"}
    of_others |= {"draft_corrections_institution_2", "film_sheet_institution_1", "film_sheet_institution_2"}
    assert study.draw(PICTURES) == everything - of_others


def test_pictures_kept_are_those_of_a_report_drawn_from_nothing(
    made_up: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    some = (stard_flow, confusion_matrices, film_sheet)
    report = Report(tmp_path / "kept")
    report.tables = made_up
    report.draw(some)
    report.tables = another_hospital(report.tables)
    assert report.draw(some) == {"stard_flow_institution_3", "confusion_matrices", "film_sheet_institution_3"}
    assert report.files() == report.from_nothing(tmp_path / "anew", some)


def test_the_table_is_made_of_all_that_its_pictures_are_made_of() -> None:
    whole = code_of(report_figures, [], load_profile("ci")).rows
    for each in PICTURES:
        own = code_identity.sources().of(each.draw)
        alone = {
            name for name in own.digests if f"{name.split(':')[0]}:" not in whole.digests
        }  # others in whole modules
        assert {name: own.digests[name] for name in alone}.items() <= whole.digests.items(), each.name
        assert own.libraries.items() <= whole.libraries.items(), each.name
        assert {"matplotlib", "polars"} <= set(own.libraries)
        assert set(each.reads) <= set(report_figures.reads)
    assert f"{attention_films.draw.__module__}:maps_on_some_films" in whole.digests
    assert "olvf_assets.attention.film_maps:map_on_film" in code_identity.sources().of(attention_films.draw).digests


def test_every_picture_has_a_name_of_its_own() -> None:
    names = [f"{each.name}{end}" for each in PICTURES for end in ("", *(f"_{key}" for key in PROTOCOLS if each.per))]
    assert len(names) == len(set(names))


def test_whoever_forces_the_table_forces_its_pictures(tmp_path: Path) -> None:
    asked: list[bool] = []

    def make(run: TableRun) -> pl.DataFrame:
        asked.append(run.forced)
        return REPORT_FIGURES.to_frame()

    lake = Lake(ArtifactStore(tmp_path), lambda name: None, lambda name: "absent")
    table = replace(report_figures, make=make, reads=(), beside=None)
    for force in (True, False):
        Parts(table, [], TableCode(), lake, force=force).part(WHOLE, run_in(tmp_path), {})
    assert asked == [True, False]


def test_maps_on_films_do_not_hang_on_films_that_are_not_shown(tmp_path: Path) -> None:
    key = {"protocol": ["patient"] * 2, "institution": ["institution_1"] * 2, "crop_id": ["c1", "c2"]}
    place = dict.fromkeys(("x0_px", "y0_px", "x1_px", "y1_px", "scale", "pad_left_px", "pad_top_px"), 1.0)
    maps = pl.DataFrame({**key, "level": ["L1", "L2"], "architecture": "resnet50", "fold": 5})
    crops = pl.DataFrame({**key, "film_id": "f1", "view": "neutral", **place})
    films = pl.DataFrame({"institution": ["institution_1"], "film_id": ["f1"], "image_path": ["one"]})
    tables = {"gradcam_maps": maps, "vertebra_crops": crops, "films": films}
    look = Look(run_in(tmp_path))
    (before,) = attention_films.members(tables)
    (after,) = attention_films.members({**another(tables), "gradcam_maps": maps})
    assert before.name == after.name == "attention_films"
    shown, then = attention_films.frames(look, before), attention_films.frames(look, after)
    assert shown["maps"]["crop_id"].to_list() == ["c1", "c2"]
    assert shown["maps"].equals(then["maps"])
    assert shown["network"].equals(then["network"])


def another(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    return {
        name: pl.concat([frame, frame.with_columns(institution=pl.lit("institution_2"))])
        for name, frame in tables.items()
    }


def test_the_first_protocol_s_pictures_bear_the_plain_name() -> None:
    maps = pl.DataFrame({"protocol": ["thesis", "patient"], "institution": "a", "crop_id": "c"})
    tables = dict.fromkeys(attention_films.reads, maps)
    assert [each.name for each in attention_films.members(tables)] == ["attention_films", "attention_films_thesis"]
    tables["gradcam_maps"] = maps.head(1)
    (only,) = attention_films.members(tables)
    assert only.name == "attention_films"
    assert only.tables["films"]["protocol"].to_list() == ["thesis"]


def test_several_processes_draw_what_one_draws(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrawing, "LEAST_PER_WORKER", 1)
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: pytest.fail("drawn in this process"))
    report = Report(tmp_path / "by two")
    with settings_read(report.run.profile) as read:
        shown = pictures_of(DECLARED, report.tables, report.run, report.folder, workers=2)
    assert report.files() == Report(drawn).files()
    assert {each.name for each in shown if each.drawn} == ALL
    assert {"seed", "reporting.films_per_institution"} <= set(read.digests())
    monkeypatch.undo()
    assert report.draw() == set()


def test_a_fault_in_another_process_leaves_its_picture_to_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrawing, "LEAST_PER_WORKER", 1)
    report = Report(tmp_path)
    report.tables["totals"] = pl.DataFrame({"name": ["a"], "n": ["not a number"]})
    with pytest.raises(TypeError):
        pictures_of(DECLARED, report.tables, report.run, report.folder, workers=2)
    report.tables = dict(TABLES)
    assert "counts" in report.draw()
    assert report.files() == report.from_nothing(tmp_path / "anew")


def test_every_picture_travels_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(PICTURES)) == PICTURES
