"""What tables over all hospitals cost when there are many: seconds and memory of each against its rows.

The tables of a finished study are the pattern: one external hospital's rows are repeated under other names until there
are as many hospitals of so many films as asked for, all else stays. Then each table that is made whole without training
or pixels is made of them, each in a process of its own whose memory is watched. A hospital's own tables (partitions) do
not grow with the number of hospitals and are left out, as are the tables of pictures and the warehouse.

A table that needs more than `--most-gib` says so. The file of the run is kept with `--out`, for docs/scale.md.
`--quick` takes 3 hospitals of 40 films. The data folder is only read.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from olvf_assets.foundation.tables import Table, TableRun, in_order
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.places import data_folder

PATTERN = "institution_2"
IDS = ("patient_id", "film_id", "crop_id", "sample_id", "source_id", "path", "sop_instance_uid", "image_path")
ROOMS = ("cohort", "evaluation", "classification", "intake")
LEFT_OUT = ("expectation_results", "leakage_audit")  # made of files; pairs of all pictures (benchmarks/leakage.py)


def whole_tables() -> list[Table]:
    """Return the tables that grow with the number of hospitals: made whole, and neither trained nor drawn."""
    from olvf_assets.orchestration.graph import all_tables, tables_of_an_arrival

    arrival = set(tables_of_an_arrival())
    return [
        each for each in all_tables()
        if each.by is None and each.room in ROOMS and each.name in arrival and each.name not in LEFT_OUT
    ]  # fmt: skip


def many(frame: pl.DataFrame, hospitals: int, films: int, pattern_films: int) -> pl.DataFrame:
    """Return a table with further hospitals of so many films, whose rows repeat those of the pattern's."""
    if "institution" not in frame.columns:
        return frame
    own = frame.filter(pl.col("institution") == PATTERN)
    times = max(1, round(films / pattern_films))
    ids = [name for name in IDS if name in frame.columns and frame.schema[name] == pl.String]
    if not ids:
        times = 1
    if own.is_empty() or hospitals == 0:
        return frame
    copies = pl.DataFrame({"hospital": range(hospitals)}).join(pl.DataFrame({"copy": range(times)}), how="cross")
    repeated = own.lazy().join(copies.lazy(), how="cross").with_columns(
        pl.format("site_{}", pl.col("hospital")).alias("institution"),
        *(pl.format("{}-{}", pl.col(name), pl.col("copy")).alias(name) for name in ids),
    )  # fmt: skip
    return pl.concat([frame.lazy(), repeated.select(frame.columns)]).collect()


def make(name: str, hospitals: int, films: int) -> dict[str, float]:
    """Make one table of many hospitals' rows and return what it took; runs in a process of its own."""
    (table,) = [each for each in whole_tables() if each.name == name]
    data, profile = data_folder(), load_profile("demo")
    store = ArtifactStore(data / "lake")
    pattern = store.tables.read("films").filter(institution=PATTERN).height
    frames = {each: many(store.tables.read(each), hospitals, films, pattern) for each in table.reads}
    if "institutions" in frames:
        frames["institutions"] = frames["institutions"].unique("institution", maintain_order=True)
    rows = sum(frame.height for frame in frames.values())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    ordered = {each: in_order(frame) for each, frame in frames.items()}
    taken = time.perf_counter()
    run = TableRun(profile, store, data)
    made = table.conform(table.make(run, **table.taken(ordered)))
    end = time.perf_counter()
    return {
        "rows_in": rows,
        "rows_out": made.height,
        "ordering_s": round(taken - start, 2),
        "making_s": round(end - taken, 2),
        "read_gib": round(before / 2**20, 2),
        "most_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def measured(name: str, hospitals: int, films: int, most_gib: int, patience_s: float) -> dict[str, float | str]:
    """Return what a table took in a process of its own, or that it did not fit or was not awaited."""
    command = [sys.executable, __file__, "--one", name, "--hospitals", str(hospitals), "--films", str(films)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=patience_s, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most_gib << 30, most_gib << 30)),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"fault": f"more than {patience_s:.0f} s"}
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        lacking = "emory" in done.stderr or done.returncode < 0
        return {"fault": f"more than {most_gib} GiB" if lacking else words[-1] if words else str(done.returncode)}
    found: dict[str, float | str] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hospitals", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--films", type=int, default=1000, help="of each hospital")
    parser.add_argument("--tables", nargs="*", help="these alone")
    parser.add_argument("--most-gib", type=int, default=16)
    parser.add_argument("--patience-s", type=float, default=900.0)
    parser.add_argument("--out", type=Path, help="a JSON file for all figures")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(make(asked.one, asked.hospitals[0], asked.films)))
        return
    if not ArtifactStore(data_folder() / "lake").tables.is_there("external_metrics"):
        print("there is no finished study in the data folder: `make demo` first, or set OLVF_DATA")
        return
    sizes = [3] if asked.quick else asked.hospitals
    films = 40 if asked.quick else asked.films
    names = [each.name for each in whole_tables() if not asked.tables or each.name in asked.tables]
    if asked.quick and not asked.tables:
        names = ["sample_lineage", "ensemble_predictions", "external_metrics"]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])
    )
    figures: dict[str, dict[str, float | str]] = {}
    print(f"{'table':<28}{'hospitals':>10}{'rows in':>12}{'rows out':>11}{'order s':>9}{'make s':>9}{'GiB':>7}")
    for name in names:
        for hospitals in sizes:
            found = measured(name, hospitals, films, asked.most_gib, asked.patience_s)
            figures[f"{name}_{hospitals}"] = found
            if "fault" in found:
                print(f"{name:<28}{hospitals:>10,}  {found['fault']}", flush=True)
                break
            columns = (found["rows_in"], found["rows_out"], found["ordering_s"], found["making_s"], found["most_gib"])
            print("{:<28}{:>10,}{:>12,}{:>11,}{:>9.2f}{:>9.2f}{:>7.1f}".format(name, hospitals, *columns), flush=True)
            if asked.out:
                asked.out.write_text(json.dumps(figures, indent=1))
    if asked.json:
        print(json.dumps({f"{name}_{key}": value for name, found in figures.items() for key, value in found.items()}))


if __name__ == "__main__":
    main()
