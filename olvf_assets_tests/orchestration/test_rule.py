"""What is made again after a change of each kind, in a small graph that is run by Dagster."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import polars as pl
import pytest
from dagster import DagsterInstance, materialize

from olvf_assets.commands.why import why
from olvf_assets.foundation import code_identity
from olvf_assets.foundation.settings import Settings
from olvf_assets.foundation.tables import Check, Table, TableRun, all_reads, check, descendants, table
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.views import build_assets
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.lake import Lake
from olvf_assets.storage.records import Records
from olvf_assets.storage.sql import run_query

ROWS = pl.Schema({"institution": pl.String, "n": pl.Int64})
FOLDS = pl.Schema({"fold": pl.Int64, "n": pl.Int64, "weights_path": pl.String})
SUM = pl.Schema({"n": pl.Int64})
CALLS: list[str] = []  # of the bodies below


class Sums(Settings):
    factor: int = 10
    unused: int = 0


class RuleProfile(Settings):
    seed: int = 1
    train_without: tuple[str, ...] = ()
    sums: Sums = Sums()


class RuleStudy(StudyResource):
    """Institutions are the files of landing/; the profile is a file."""

    @property
    def profile(self) -> Any:
        return RuleProfile.model_validate_json((self.data / "profile.json").read_text())

    def role(self, institution: str) -> str:
        return "external"

    def institutions(self) -> list[str]:
        return sorted(each.name for each in (self.data / "landing").iterdir())


def arrived(run: TableRun) -> pl.DataFrame:
    CALLS.append("arrived")
    return pl.DataFrame(
        {"institution": [run.institution], "n": [int((run.data / "landing" / run.institution).read_text())]}
    )


def scaled(run: TableRun, arrived: pl.DataFrame) -> pl.DataFrame:
    CALLS.append("scaled")
    return arrived.with_columns(pl.col("n") * run.profile.sums.factor)


def parity(run: TableRun, arrived: pl.DataFrame) -> pl.DataFrame:
    CALLS.append("parity")
    return arrived.with_columns(pl.col("n") % 2)


def weights(run: TableRun) -> str:
    return (run.data / "weights").read_text()


def trained(run: TableRun, scaled: pl.DataFrame) -> pl.DataFrame:
    CALLS.append("trained")
    rows = []
    for fold in run.folds:
        path = f"work/{fold}.pt"
        run.store.path(path).parent.mkdir(parents=True, exist_ok=True)
        run.store.path(path).write_text(f"{fold} {weights(run)}")
        rows.append((fold, scaled["n"].sum() * fold + run.seed + len(weights(run)), path))
    return pl.DataFrame(rows, schema=FOLDS, orient="row")


def total(run: TableRun, trained: pl.DataFrame, parity: pl.DataFrame) -> pl.DataFrame:
    CALLS.append("total")
    return run_query("select sum(n)::bigint as n from trained", {"trained": trained})


def nothing_is_stale(run: TableRun, total: pl.DataFrame) -> pl.DataFrame:
    kept = run.stored("scaled")
    assert kept is not None
    return kept.filter(pl.col("n") < 0)


TABLES: list[Table] = [
    table(schema=ROWS, by="institution", always=True)(arrived),
    table(schema=ROWS, by="institution")(scaled),
    table(schema=ROWS, by="institution")(parity),
    table(schema=FOLDS, by="fold", outside=weights)(trained),
    table(schema=SUM)(total),
]
CHECKS: list[Check] = [check(table="total")(nothing_is_stale)]
READS = all_reads(TABLES, CHECKS)


class Study:
    """The graph in a data folder."""

    def __init__(self, data: Path, instance: DagsterInstance) -> None:
        self.data, self.instance = data, instance
        (data / "landing").mkdir(parents=True)
        for name, number in (("a", "1"), ("b", "2")):
            (data / "landing" / name).write_text(number)
        (data / "weights").write_text("one")
        (data / "profile.json").write_text("{}")

    @property
    def resource(self) -> RuleStudy:
        return RuleStudy(profile_name="none", data_folder=str(self.data))

    def run(self) -> set[str]:
        """Run everything and return the tables whose bodies were called; that of what always arrives aside."""
        CALLS.clear()
        assets = build_assets("study", TABLES, CHECKS, ["total"])
        lake = Lake(base_dir=str(self.data / "lake" / "tables"))
        materialize(assets, resources={"study": self.resource, "lake": lake}, instance=self.instance)
        return set(CALLS) - {"arrived"}

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        folder = self.data / "lake" / "tables"
        return {each.name: sorted(pl.read_delta(str(folder / f"{each.name}.delta")).rows()) for each in TABLES}

    def versions(self) -> dict[str, int]:
        log = self.data / "lake" / "tables"
        return {each.name: len(list((log / f"{each.name}.delta" / "_delta_log").glob("*.json"))) for each in TABLES}


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    instance = DagsterInstance.ephemeral(tempdir=str(tmp_path))
    yield Study(tmp_path / "data", instance)
    instance.dispose()


def below(*names: str) -> set[str]:
    return {each for name in names for each in (name, *descendants(name, READS))}


def write(name: str, text: str) -> Callable[[Study, pytest.MonkeyPatch], None]:
    def change(study: Study, patch: pytest.MonkeyPatch) -> None:
        (study.data / name).write_text(text)

    return change


def code(function: str, before: str, after: str) -> Callable[[Study, pytest.MonkeyPatch], None]:
    """Change a function's text as it is read, not what it does."""

    def change(study: Study, patch: pytest.MonkeyPatch) -> None:
        sources = code_identity.Sources()
        sources._know(__name__)
        text = sources._texts[function.split(":", maxsplit=1)[0]]
        assert before in text
        sources._texts[function.split(":", maxsplit=1)[0]] = text.replace(before, after, 1)
        patch.setattr(code_identity, "sources", lambda: sources)

    return change


def library(study: Study, patch: pytest.MonkeyPatch) -> None:
    versions = code_identity._versions
    patch.setattr(code_identity, "_versions", lambda tops: {
        name: "99" if name == "duckdb" else number for name, number in versions(tops).items()
    })  # fmt: skip


def forgotten(study: Study, patch: pytest.MonkeyPatch) -> None:
    (study.data / "lake" / "work" / "3.pt").unlink()


def overwritten(study: Study, patch: pytest.MonkeyPatch) -> None:
    path = str(study.data / "lake" / "tables" / "parity.delta")
    pl.read_delta(path).with_columns(n=pl.lit(7, pl.Int64)).write_delta(path, mode="overwrite")


def forced(study: Study, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("OLVF_FORCE", "scaled")


HERE = f"{__name__}:"
# what changes, which bodies are called, and which tables are written; what comes out as it was travels no further
CHANGES: dict[str, tuple[Callable[[Study, pytest.MonkeyPatch], None], set[str], set[str]]] = {
    "one institution": (write("landing/b", "4"), below("arrived"), below("arrived") - {"parity"}),
    "one institution, in every table": (write("landing/b", "3"), below("arrived"), below("arrived")),
    "a new institution": (write("landing/c", "5"), below("arrived"), below("arrived")),
    "a setting": (write("profile.json", '{"sums": {"factor": 11}}'), below("scaled"), below("scaled")),
    "a setting that nobody reads": (write("profile.json", '{"sums": {"unused": 1}}'), set(), set()),
    "the seed": (write("profile.json", '{"seed": 2}'), below("trained"), below("trained")),
    "weights to start from": (write("weights", "three"), below("trained"), below("trained")),
    "a line": (code(HERE + "scaled", 'pl.col("n") * run', 'pl.col("n") * 1 * run'), {"scaled"}, set()),
    "a function that it calls": (
        code("olvf_assets.storage.sql:run_query", "return connection", "return  connection"),
        {"total"},
        set(),
    ),
    "a query": (code(HERE + "total", "sum(n)::bigint as n", "sum(n + 0)::bigint as n"), {"total"}, set()),
    "a check": (code(HERE + "nothing_is_stale", '"n") < 0', '"n") < -1'), {"total"}, set()),
    "a comment": (code(HERE + "scaled", "    return arrived", "    # why\n    return arrived"), set(), set()),
    "a library": (library, {"total"}, set()),
    "a file that a table names": (forgotten, {"trained"}, set()),
    "rows in the lake": (overwritten, {"parity"}, {"parity"}),
    "a wish": (forced, {"scaled"}, set()),
}  # fmt: skip


def test_nothing_is_made_or_written_when_nothing_changes(study: Study) -> None:
    assert study.run() == {each.name for each in TABLES} - {"arrived"}
    versions = study.versions()
    assert study.run() == set()
    assert study.versions() == versions


@pytest.mark.parametrize(("change", "made", "written"), CHANGES.values(), ids=CHANGES.keys())
def test_exactly_what_depends_on_a_change_is_made(
    study: Study,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Study, pytest.MonkeyPatch], None],
    made: set[str],
    written: set[str],
) -> None:
    study.run()
    change(study, monkeypatch)
    versions = study.versions()
    assert study.run() == made - {"arrived"}
    assert {name for name, count in study.versions().items() if count != versions[name]} == written
    monkeypatch.delenv("OLVF_FORCE", raising=False)
    assert study.run() == set()


def test_one_institution_s_change_leaves_the_parts_of_others(study: Study) -> None:
    study.run()
    records = Records(ArtifactStore(study.data / "lake"))
    before = {part: records.find("scaled", part) for part in records.parts("scaled")}
    (study.data / "landing" / "b").write_text("4")
    study.run()
    assert CALLS.count("scaled") == 1
    assert records.find("scaled", "a") == before["a"]
    assert records.find("scaled", "b") != before["b"]


def test_random_changes_give_the_tables_of_a_run_from_nothing(tmp_path: Path) -> None:
    lots = random.Random(5)
    instance = DagsterInstance.ephemeral(tempdir=str(tmp_path))
    study = Study(tmp_path / "kept", instance)
    for number in range(12):
        for _ in range(lots.randint(1, 3)):
            name, text = lots.choice([
                ("landing/a", str(lots.randint(1, 4))), ("landing/b", str(lots.randint(1, 4))),
                (f"landing/{lots.choice('cd')}", str(lots.randint(1, 4))), ("weights", lots.choice(["one", "three"])),
                ("profile.json", f'{{"seed": {lots.randint(1, 2)}, "sums": {{"factor": {lots.randint(2, 3)}}}}}'),
            ])  # fmt: skip
            (study.data / name).write_text(text)
        anew = Study(tmp_path / str(number), instance)
        for name in ("landing", "weights", "profile.json"):
            source, target = study.data / name, anew.data / name
            copytree(source, target, dirs_exist_ok=True) if source.is_dir() else target.write_text(source.read_text())
        study.run()
        anew.run()
        assert study.tables() == anew.tables()
    instance.dispose()


def test_why_says_what_has_changed(study: Study) -> None:
    def asked(name: str) -> list[str]:
        return why(name, study.resource, TABLES, CHECKS)

    assert asked("scaled") == ["scaled: what it is made of was never made: arrived"]
    study.run()
    assert asked("total") == ["total: nothing that it is made of has changed"]
    (study.data / "profile.json").write_text('{"sums": {"factor": 11}}')
    assert asked("scaled") == [
        "scaled of institution a: setting sums.factor has changed",
        "scaled of institution b: setting sums.factor has changed",
    ]
    assert asked("total") == [
        "total: nothing that it is made of has changed",
        "before it are made: scaled; if their rows come out as they were, total stands",
    ]
    assert asked("arrived") == [
        "arrived: is made in every run, to see what has arrived; equal rows are not written again"
    ]
