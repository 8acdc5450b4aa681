"""Faults on purpose: runs killed at any moment, disks that fill up or fail, a crowd on one lake.

Makes the study of a profile once, undisturbed (or takes `--reference`), then strikes the run of every table in turn on
a copy, starts it again, and compares. `--quick` tries each kind once, on two tables of a study of seven films. Where
there is no C compiler only Python's own writes meet faults of the disk, and the last lines say so.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from fault_tools.crowd import Size, crowd
from fault_tools.disk import disk_below
from fault_tools.kinds import FAULTS, Kind, Trial
from fault_tools.nursery import Nursery
from fault_tools.study import Study
from fault_tools.trials import Ground

from olvf_assets.foundation.tables import all_reads, ancestors
from olvf_assets.orchestration.graph import all_checks, all_tables

QUICK_PROFILE = """
extends: ci
phantom:
  institutions:
    institution_1: {patients_normal: 1, patients_fresh: 1, patients_old: 1, reread_patients: 1, excluded_fresh: {}}
    institution_2: {patients_fresh: 1, patients_old: 0}
"""
QUICK_TABLE = "exclusion_all_normal"
QUICK_TABLES = ["consensus_labels", QUICK_TABLE]  # neither draws films nor reads sheets, which takes most of the time
QUICK_CROWD = Size(writers=2, readers=1, publishers=1, rounds=3)


def main() -> None:
    """Try, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each kind once on a small study, under a minute")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    parser.add_argument("--profile", default="ci")
    parser.add_argument("--reference", type=Path, help="folder of an undisturbed study; made there if it is empty")
    parser.add_argument("--tables", help="comma-separated; default: all")
    parser.add_argument("--kinds", default=",".join(FAULTS), help="of faults, comma-separated")
    parser.add_argument("--strikes", type=int, default=1, help="faults of each kind and table")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="olvf-faults-") as scratch:
        trials = try_faults(asked, Path(scratch))
        size = QUICK_CROWD if asked.quick else Size()
        figures = crowd(Path(scratch) / "crowd", size)
    print_trials(trials)
    people = f"{size.writers} writers, {size.readers} readers, {size.publishers} publishers and a visitor"
    print(f"\ncrowd of {people}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    if asked.json:
        wrong = [each for each in trials if each.wrong]
        flat = {"tried": len(trials), "struck": sum(each.struck for each in trials), "wrong": len(wrong)}
        print(json.dumps({**flat, **figures, "wall_s": round(time.perf_counter() - start, 1)}))


def try_faults(asked: argparse.Namespace, scratch: Path) -> list[Trial]:
    """Make the reference and its copy, strike every table in turn, and return what came of it."""
    profile = asked.profile
    if asked.quick:
        profile = str(scratch / "quick")
        Path(f"{profile}.yaml").write_text(QUICK_PROFILE)
    names = in_order(QUICK_TABLE if asked.quick else None)
    reference = Study(asked.reference or scratch / "reference", profile)
    made_before = bool(reference.steps())
    study = reference.copy_to(scratch / "struck")
    disk = disk_below(study.data, scratch)
    nursery = Nursery(disk.environment(study.environment))
    if not made_before:
        outcome = nursery.run(",".join(names))
        if outcome.status != 0:
            raise SystemExit(f"the undisturbed run fails:\n{outcome.output[-3000:]}")
        reference = study.copy_to(reference.folder)
    ground = Ground(reference, study, nursery, disk, asked.seed)
    trials = []
    try:
        for name, kind in plan(asked, names):
            trial = ground.strike(name, kind)
            trials.append(trial)
            verdict = "; ".join(trial.wrong) or ("survived" if trial.struck else "over before it struck")
            print(f"{name:<32}{trial.fault:<20}{trial.where[-58:]:<60}{verdict}", flush=True)
    finally:
        nursery.close()
    kinds, tables = len({each.fault for each in trials}), len({each.table for each in trials})
    print(f"\n{kinds} of {len(FAULTS)} kinds of fault, {tables} of {len(all_tables())} tables, profile {profile}")
    print(f"files left under temporary names: {len(study.unfinished())}")
    print(f"faults of the disk strike {disk.sees}")
    return trials


def in_order(below: str | None) -> list[str]:
    """Return the names of all tables, or of those that one rests on and itself, each after what it reads."""
    reads = all_reads(all_tables(), all_checks())
    chosen = set(reads) if below is None else {*ancestors(below, reads), below}
    return sorted(chosen, key=lambda name: (len(ancestors(name, reads)), name))


def plan(asked: argparse.Namespace, names: list[str]) -> list[tuple[str, Kind]]:
    """Return what is tried: (table, kind of fault), all kinds for one table after the other."""
    kinds = [kind for kind in FAULTS if kind in asked.kinds.split(",")]
    if asked.tables:
        names = [name for name in names if name in asked.tables.split(",")]
    if asked.quick:
        names = [name for name in names if name in QUICK_TABLES]
        return [(names[number % len(names)], kind) for number, kind in enumerate(kinds)]
    return [(name, kind) for name in names for kind in kinds for _ in range(asked.strikes)]


def print_trials(trials: list[Trial]) -> None:
    """Print one row per kind of fault."""
    tried, struck = Counter(each.fault for each in trials), Counter(each.fault for each in trials if each.struck)
    wrong = Counter(each.fault for each in trials if each.wrong)
    tables = {fault: len({each.table for each in trials if each.fault == fault}) for fault in tried}
    print(f"\n{'fault':<20}{'tables':>8}{'tried':>8}{'struck':>8}{'survived':>10}{'wrong':>8}")
    for fault, count in tried.items():
        survived = count - wrong[fault]
        print(f"{fault:<20}{tables[fault]:>8}{count:>8}{struck[fault]:>8}{survived:>10}{wrong[fault]:>8}")


if __name__ == "__main__":
    main()
