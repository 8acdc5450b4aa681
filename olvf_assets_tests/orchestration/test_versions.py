"""What Dagster's UI calls out of date, held against the rule, in a small graph that is run in both views."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import AssetKey, AssetSelection, DagsterInstance, Definitions, define_asset_job, in_process_executor
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCause, StaleStatus
from dagster._core.loader import LoadingContextForTest

from olvf_assets.commands.why import why
from olvf_assets.foundation import code_identity
from olvf_assets.foundation.settings import Settings
from olvf_assets.foundation.tables import Check, Table, TableRun, check, table
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.views import View, build_assets
from olvf_assets.storage.lake import Lake

ROWS = pl.Schema({"institution": pl.String, "n": pl.Int64})
FOLDS = pl.Schema({"fold": pl.Int64, "n": pl.Int64})
SUM = pl.Schema({"n": pl.Int64})


class SmallProfile(Settings):
    train_without: tuple[str, ...] = ()
    factor: int = 1
    unused: int = 0


PROFILES = [SmallProfile()]  # the last is at hand


class SmallStudy(StudyResource):
    """Institutions are the files of landing/."""

    @property
    def profile(self) -> Any:
        return PROFILES[-1]

    def role(self, institution: str) -> str:
        return "external"

    def institutions(self) -> list[str]:
        return sorted(each.name for each in (self.data / "landing").iterdir())


def arrived(run: TableRun) -> pl.DataFrame:
    number = int((run.data / "landing" / run.institution).read_text())
    return pl.DataFrame({"institution": [run.institution], "n": [number]})


def scaled(run: TableRun, arrived: pl.DataFrame) -> pl.DataFrame:
    return arrived.with_columns(pl.col("n") * ten_times_ten() * run.profile.factor)


def parity(run: TableRun, arrived: pl.DataFrame) -> pl.DataFrame:
    return arrived.with_columns(pl.col("n") % 2)


def odd_ones(run: TableRun, parity: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"n": [parity["n"].sum()]})


def trained(run: TableRun, odd_ones: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"fold": list(run.folds), "n": [fold * odd_ones["n"].item() for fold in run.folds]})


def scored(run: TableRun, trained: pl.DataFrame, scaled: pl.DataFrame) -> pl.DataFrame:
    return scaled.with_columns(pl.col("n") * trained["n"].sum())


def total(run: TableRun, scored: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"n": [scored["n"].sum()]})


def report(run: TableRun, total: pl.DataFrame) -> pl.DataFrame:
    return total


def never_negative(run: TableRun, scored: pl.DataFrame, odd_ones: pl.DataFrame) -> pl.DataFrame:
    return scored.filter(pl.col("n") < 0)


def ten_times_ten() -> int:
    return 10 * ten()


def ten() -> int:
    return 10


TABLES: list[Table] = [
    table(schema=ROWS, by="institution", always=True)(arrived),
    table(schema=ROWS, by="institution")(scaled),
    table(schema=ROWS, by="institution")(parity),
    table(schema=SUM)(odd_ones),
    table(schema=FOLDS, by="fold")(trained),
    table(schema=ROWS, by="institution")(scored),
    table(schema=SUM)(total),
    table(schema=SUM)(report),
]
CHECKS: list[Check] = [check(table="scored")(never_negative)]
TARGETS = ["total", "report"]
BY = {each.name: each.by for each in TABLES}


class Study:
    """The graph in a data folder, with an instance of its own."""

    def __init__(self, data: Path, instance: DagsterInstance) -> None:
        self.data, self.instance = data, instance
        (data / "landing").mkdir(parents=True)
        self.hand_over(a=1, b=2)

    def hand_over(self, **numbers: int) -> None:
        for name, number in numbers.items():
            (self.data / "landing" / name).write_text(str(number))

    def definitions(self, view: View, names: Sequence[str] = ()) -> Definitions:
        return Definitions(
            assets=build_assets(view, TABLES, CHECKS, TARGETS, PROFILES[-1]),
            jobs=[define_asset_job("job", AssetSelection.assets(*names) if names else AssetSelection.all())],
            resources={
                "study": SmallStudy(profile_name="none", data_folder=str(self.data)),
                "lake": Lake(base_dir=str(self.data / "lake" / "tables")),
            },
            executor=in_process_executor,
        )

    def make(self, *names: str, view: View = "study", key: str | None = None) -> None:
        """Make some tables, by default all."""
        job = self.definitions(view, names).resolve_job_def("job")
        assert job.execute_in_process(instance=self.instance, partition_key=key).success

    def parts(self, name: str, view: View = "operations") -> list[str | None]:
        if view == "study" or BY[name] is None:
            return [None]
        return list("12345") if BY[name] == "fold" else sorted(self.instance.get_dynamic_partitions("institution"))

    def out_of_date(self, view: View = "operations") -> dict[str, set[str]]:
        """Return what Dagster says of each part that is not fresh, by table and partition."""
        graph = self.definitions(view).resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        found = {}
        for name in BY:
            for part in self.parts(name, view):
                status = resolver.get_status(AssetKey(name), part)
                causes = {said(each) for each in resolver.get_stale_causes(AssetKey(name), part)}
                assert (status == StaleStatus.STALE) is bool(causes)
                if status != StaleStatus.FRESH:
                    found[shown(name, part)] = causes or {"MISSING"}
        return found

    def to_be_made(self) -> set[str]:
        """Return the parts that the rule would make again, or for the first time, if all else stays as it is."""
        study = SmallStudy(profile_name="none", data_folder=str(self.data))
        lines = [line for name in BY if name != "arrived" for line in why(name, study, TABLES, CHECKS)]
        heads = [line.split(": ")[0] for line in lines if "nothing that it is made of" not in line]
        return {"|".join(head.split(" ")[::3]) for head in heads if not head.startswith("before it are made")}


def said(cause: StaleCause) -> str:
    """Return the category of a cause, and which part of which table has changed."""
    by = cause.dependency
    return (
        cause.category.value
        if by is None
        else f"{cause.category.value} {shown(by.asset_key.to_user_string(), by.partition_key)}"
    )


def shown(name: str, part: str | None) -> str:
    return name if part is None else f"{name}|{part}"


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    instance = DagsterInstance.ephemeral(tempdir=str(tmp_path))
    yield Study(tmp_path / "data", instance)
    instance.dispose()


def edit(monkeypatch: pytest.MonkeyPatch, before: str, after: str) -> None:
    """Change the text of a function of this file as it is read, not what it does."""
    sources = code_identity.Sources()
    sources._know(__name__)
    assert before in sources._texts[__name__]
    sources._texts[__name__] = sources._texts[__name__].replace(before, after, 1)
    monkeypatch.setattr(code_identity, "sources", lambda: sources)


def test_after_a_run_over_all_nothing_is_out_of_date(study: Study) -> None:
    assert study.out_of_date()["total"] == {"MISSING"}
    study.make()
    assert study.out_of_date() == {}
    study.make()
    assert study.out_of_date() == {}


def test_the_study_view_s_own_graph_knows_no_more_than_the_edges_that_it_adds(study: Study) -> None:
    study.make()
    assert set(study.out_of_date("study")) <= set(TARGETS)
    study.hand_over(a=3)
    study.make("arrived")
    assert study.out_of_date("study").keys() - TARGETS == {"scaled", "parity"}
    study.make()
    assert set(study.out_of_date("study")) <= set(TARGETS)


def test_partition_by_partition_nothing_is_out_of_date_either(study: Study) -> None:
    study.instance.add_dynamic_partitions("institution", ["a", "b"])
    for key in "ab":
        study.make("arrived", "scaled", "parity", view="operations", key=key)
    study.make("odd_ones", view="operations")
    for fold in "12345":
        study.make("trained", view="operations", key=fold)
    for key in "ab":
        study.make("scored", view="operations", key=key)
    study.make("total", "report", view="operations")
    assert study.out_of_date() == {}
    study.make()  # finds all of it as it must be
    assert study.out_of_date() == {}


@pytest.mark.parametrize("view", ["operations", "study"])
def test_exactly_what_reads_changed_rows_is_out_of_date_and_says_whose(study: Study, view: View) -> None:
    study.make()
    study.hand_over(b=4)
    study.make("arrived", view=view, key="b" if view == "operations" else None)
    assert study.out_of_date() == {"scaled|b": {"DATA arrived|b"}, "parity|b": {"DATA arrived|b"}}
    study.make("scaled", view=view, key="b" if view == "operations" else None)
    assert study.out_of_date() == {"scored|b": {"DATA scaled|b"}, "parity|b": {"DATA arrived|b"}}
    study.make("parity", view=view, key="b" if view == "operations" else None)  # comes out as it was
    assert study.out_of_date() == {"scored|b": {"DATA scaled|b"}}
    study.make()
    assert study.out_of_date() == {}


def test_change_that_reaches_the_training_is_out_of_date_in_every_fold_and_then_everywhere(study: Study) -> None:
    study.make()
    study.hand_over(b=3)
    study.make("arrived", "scaled", "parity", "odd_ones")
    folds = {f"trained|{fold}": {"DATA odd_ones"} for fold in "12345"}
    scored = {"scored|a": {"DATA odd_ones"}, "scored|b": {"DATA odd_ones", "DATA scaled|b"}}
    assert study.out_of_date() == {**folds, **scored}
    study.make("trained", view="operations", key="2")
    del folds["trained|2"]
    scored = {name: {*causes, "DATA trained|2"} for name, causes in scored.items()}
    assert study.out_of_date() == {**folds, **scored}
    study.make()
    assert study.out_of_date() == {}


def test_a_new_institution_makes_what_reads_all_of_them_out_of_date(study: Study) -> None:
    study.make()
    study.hand_over(c=6)
    study.instance.add_dynamic_partitions("institution", ["c"])
    missing = {f"{name}|c": {"MISSING"} for name in ("arrived", "scaled", "parity", "scored")}
    assert study.out_of_date() == missing
    study.make("arrived", "scaled", "parity", view="operations", key="c")
    assert study.out_of_date() == {"scored|c": {"MISSING"}, "odd_ones": {"DATA parity|c"}}
    study.make("odd_ones", view="operations")  # comes out as it was: nothing is trained again
    assert study.out_of_date() == {"scored|c": {"MISSING"}}
    study.make("scored", view="operations", key="c")
    assert study.out_of_date() == {"total": {"DATA scored|c"}}
    study.make()
    assert study.out_of_date() == {}


EDITS = {
    "a line": ("n\") % 2", "n\") % 2 * 1", ["parity|a", "parity|b"]),
    "two calls deep": ("return 10\n", "return 5 + 5\n", ["scaled|a", "scaled|b"]),
    "a check": ('"n") < 0', '"n") < -1', ["scored|a", "scored|b"]),
    "of a table of folds": ("fold * odd_ones", "odd_ones", [f"trained|{fold}" for fold in "12345"]),
    "of a table that names its whole ancestry": ("    return total\n", "    return total.clone()\n", ["report"]),
    "a comment": ("    return total\n", "    # as it is\n    return total\n", []),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "touched"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_makes_what_is_made_by_it_out_of_date_until_it_is_made_again(
    study: Study, monkeypatch: pytest.MonkeyPatch, before: str, after: str, touched: list[str]
) -> None:
    study.make()
    edit(monkeypatch, before, after)
    assert study.out_of_date() == {name: {"CODE"} for name in touched}
    study.make()
    assert study.out_of_date() == {}
    monkeypatch.undo()
    assert study.out_of_date() == {name: {"CODE"} for name in touched}


def test_a_changed_setting_makes_what_may_read_it_out_of_date_until_a_run_has_looked(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.make()
    monkeypatch.setattr(sys.modules[__name__], "PROFILES", [SmallProfile(unused=1)])
    assert study.out_of_date() == {}
    monkeypatch.setattr(sys.modules[__name__], "PROFILES", [SmallProfile(factor=2)])
    assert study.out_of_date() == {"scaled|a": {"CODE"}, "scaled|b": {"CODE"}}
    study.make()
    assert study.out_of_date() == {}
    monkeypatch.undo()
    study.make("scaled", view="operations", key="a")
    assert study.out_of_date() == {"scaled|b": {"CODE"}, "scored|a": {"DATA scaled|a"}}


def test_one_partition_made_by_new_code_is_up_to_date_and_the_others_are_not(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.make()
    edit(monkeypatch, "return 10\n", "return 5 + 5\n")
    study.make("scaled", view="operations", key="a")
    assert study.out_of_date() == {"scaled|b": {"CODE"}}


def test_an_institution_that_was_stopped_and_mended_is_out_of_date_downstream_only_if_it_changed(study: Study) -> None:
    study.make()
    (study.data / "landing" / "b").write_text("bad")
    with pytest.raises(ValueError, match="invalid literal"):
        study.make("arrived", view="operations", key="b")
    assert study.out_of_date() == {}  # what lies there was made of what lay there
    study.hand_over(b=2)
    study.make("arrived", view="operations", key="b")
    assert study.out_of_date() == {}


@pytest.mark.parametrize(
    ("numbers", "made"),
    [
        ({"a": 3}, ["arrived"]),
        ({"a": 4, "b": 3}, ["arrived", "parity"]),
        ({"a": 2, "b": 1}, ["arrived", "scaled", "parity", "odd_ones"]),
    ],
)
def test_what_is_out_of_date_is_what_the_rule_would_make(
    study: Study, numbers: dict[str, int], made: list[str]
) -> None:
    study.make()
    study.hand_over(**numbers)
    study.make(*made)
    assert set(study.out_of_date()) == study.to_be_made()
