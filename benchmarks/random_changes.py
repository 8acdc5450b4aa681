"""Random changes of everything that tables are made of, each followed by a run that makes only what changed.

Changes labels, subjects, drawn boxes, pixels, settings, numbers in functions and SQL models, and takes files of
the lake away, one after the other, on a study of a profile. After every few changes a study is made from
nothing of the same films, settings and code: every table must be equal, row for row. A change that stops the
run (a number that cannot be) is taken back. This is no measure of speed; the seconds are printed because they
say what reuse saves. `--quick` tries one change on a study of seven films.
"""

import argparse
import ast
import copy
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import yaml
from fault_tools.study import Study

from olvf_assets.foundation.tables import all_reads, descendants
from olvf_assets.orchestration.graph import all_checks, all_tables
from olvf_assets.profiles import load_profile
from olvf_assets.storage.places import PROJECT

QUICK_PROFILE = {
    "extends": "ci",
    "phantom": {
        "institutions": {
            "institution_1": {"patients_normal": 1, "patients_fresh": 2, "patients_old": 2, "reread_patients": 1,
                              "excluded_fresh": {}},
            "institution_2": {"patients_fresh": 1, "patients_old": 1},
        }
    },
}  # fmt: skip
ROOMS = ("intake", "cohort", "detection", "crops", "classification", "evaluation", "attention", "reporting", "phantom")
LABELS = ("normal", "old", "fresh")
NUMBER_IN_SQL = re.compile(r"(?<![\w.'])\d+(\.\d+)?(?![\w.'])")
SEED_SHARE = 0.03
LAST_LINE = re.compile(r"(?:(\d+) made)?(?:, )?(?:(\d+) unchanged)?.* in .*; log file")


class Bench:
    """A study, the settings and the copy of the program that it is made with, and how each can be changed.

    Args:
        scratch: folder for all of it.
        tables: what is made, as Dagster selects it.
        profile: what the settings start from.
        seed: of the changes.
    """

    def __init__(self, scratch: Path, profile: dict[str, Any], tables: str, seed: int) -> None:
        self.random, self.code, self.settings = random.Random(seed), scratch / "code", scratch / "profile.yaml"
        for name in ("olvf_assets", "dbt_like_sql"):
            shutil.copytree(PROJECT / name, self.code / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "dagster.yaml", self.code)
        self.profile, self.tables = profile, tables
        self.save_settings()
        self.study, self.scratch = Study(scratch / "study", str(self.settings.with_suffix(""))), scratch

    def save_settings(self) -> None:
        """Write the profile as it is now."""
        self.settings.write_text(yaml.safe_dump(self.profile))

    def make(self, study: Study) -> tuple[bool, str, float]:
        """Make the tables; return whether that went well, what was said last and the seconds."""
        start = time.perf_counter()
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "olvf_assets.study"]
        command += ["--select", self.tables]
        environment = {**study.environment, "PYTHONPATH": str(self.code), "OLVF_VERBOSE": "0"}
        done = subprocess.run(command, cwd=self.code, env=environment, capture_output=True, text=True, check=False)
        return done.returncode == 0, (done.stdout + done.stderr).strip()[-1500:], time.perf_counter() - start

    def from_nothing(self) -> Study:
        """Return a study of the same films, settings and code, made in one go."""
        fresh = Study(Path(tempfile.mkdtemp(dir=self.scratch)), self.study.profile)
        shutil.copytree(self.study.data / "landing", fresh.data / "landing", symlinks=True)
        well, said, _ = self.make(fresh)
        if not well:
            raise SystemExit(f"the study from nothing fails where the changed one did not:\n{said}")
        return fresh

    def keep(self) -> Callable[[], None]:
        """Keep films, code and settings as they are; return what brings them back."""
        kept, settings = Path(tempfile.mkdtemp(dir=self.scratch)), copy.deepcopy(self.profile)
        places = {"code": self.code, "landing": self.study.data / "landing"}
        for name, place in places.items():
            shutil.copytree(place, kept / name, symlinks=True)

        def take_back() -> None:
            self.profile = settings
            self.save_settings()
            for name, place in places.items():
                shutil.rmtree(place)
                shutil.copytree(kept / name, place, symlinks=True)

        return take_back

    def change(self) -> tuple[str, str]:
        """Change something; return the kind and what it was. A seed, which changes everything, comes rarely."""
        kinds = {
            "label": self.label, "subject": self.subject, "box": self.box, "pixels": self.pixels,
            "setting": self.setting, "code": self.number_in_code, "SQL": self.sql, "lost file": self.lost_file,
        }  # fmt: skip
        if self.random.random() < SEED_SHARE:
            return "seed", self.seed()
        kind = self.random.choice(list(kinds))
        return kind, kinds[kind]()

    def hospital(self) -> Path:
        """Return the landing folder of a hospital."""
        return self.random.choice(sorted((self.study.data / "landing").iterdir()))

    def label(self) -> str:
        """Let a reader say something else of a vertebra."""
        sheet = self.hospital() / "readers.csv"
        lines = sheet.read_text().splitlines()
        place = self.random.randrange(1, len(lines))
        cells = lines[place].split(",")
        cells[4] = self.random.choice([each for each in LABELS if each != cells[4]])
        lines[place] = ",".join(cells)
        sheet.write_text("\n".join(lines) + "\n")
        return f"{sheet.parent.name}, row {place + 1}: {cells[1]} of reader {cells[2]} is {cells[4]}"

    def subject(self) -> str:
        """Make a patient a year older."""
        sheet = self.hospital() / "subjects.csv"
        lines = sheet.read_text().splitlines()
        place = self.random.randrange(1, len(lines))
        cells = lines[place].split(",")
        cells[2] = str(int(cells[2]) + 1)
        lines[place] = ",".join(cells)
        sheet.write_text("\n".join(lines) + "\n")
        return f"{sheet.parent.name}, row {place + 1}: a year older"

    def box(self) -> str:
        """Move a drawn box."""
        file = self.random.choice(
            sorted(each for each in self.hospital().glob("boxes/*.txt") if each.stem != "classes")
        )
        lines = file.read_text().splitlines()
        place = self.random.randrange(len(lines))
        cells = lines[place].split()
        cells[1] = f"{float(cells[1]) + 0.002:.6f}"
        lines[place] = " ".join(cells)
        file.write_text("\n".join(lines) + "\n")
        return f"box {place} of {file.parent.parent.name}, {file.name}"

    def pixels(self) -> str:
        """Draw a bright square on a film."""
        films = sorted(self.hospital().rglob("*.dcm"))
        file = self.random.choice(films)
        film = pydicom.dcmread(file)
        pixels = film.pixel_array.copy()
        row, column = (self.random.randrange(40, side - 60) for side in pixels.shape)
        pixels[row : row + 20, column : column + 20] = pixels.max()
        film.set_pixel_data(pixels, film.PhotometricInterpretation, film.BitsStored, generate_instance_uid=False)
        film.save_as(file)
        return f"20 x 20 pixels of {file.name}"

    def setting(self) -> str:
        """Change a number of the profile."""
        found = load_profile(self.study.profile).model_dump(mode="json")
        path, value = self.random.choice([each for each in _numbers(found) if each[0][0] != "seed"])
        new = value + 1 if isinstance(value, int) else round(value * 1.07, 4)
        into = self.profile
        for key in path[:-1]:
            into = into.setdefault(key, {})
        into[path[-1]] = new
        self.save_settings()
        return f"{'.'.join(path)}: {value} becomes {new}"

    def seed(self) -> str:
        """Change the study's seed."""
        self.profile["seed"] = load_profile(self.study.profile).seed + 1
        self.save_settings()
        return f"seed {self.profile['seed']}"

    def number_in_code(self) -> str:
        """Change a number in a function of a room."""
        room = self.random.choice(ROOMS)
        file = self.random.choice(sorted((self.code / "olvf_assets" / room).rglob("*.py")))
        text = file.read_text()
        numbers = [
            (node, node.value)
            for function in ast.walk(ast.parse(text))
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, int | float)
            and not isinstance(node.value, bool)
            and node.value not in (0, 1)
        ]
        if not numbers:
            return self.number_in_code()
        node, value = self.random.choice(numbers)
        new = value + 1 if isinstance(value, int) else value * 1.07
        lines = text.encode().splitlines(keepends=True)
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line[: node.col_offset] + repr(new).encode() + line[node.end_col_offset :]
        file.write_bytes(b"".join(lines))
        return f"{file.relative_to(self.code)}:{node.lineno}: {value} becomes {new}"

    def sql(self) -> str:
        """Change a number in an SQL model, or say more in a comment where there is none."""
        file = self.random.choice(sorted((self.code / "dbt_like_sql").rglob("*.sql")))
        text = file.read_text()
        numbers = list(NUMBER_IN_SQL.finditer(text))
        if not numbers:
            file.write_text(text + "\n-- a comment, which changes nothing\n")
            return f"{file.name}: a comment more"
        found = self.random.choice(numbers)
        file.write_text(f"{text[: found.start()]}{float(found.group()) * 2:g}{text[found.end() :]}")
        return f"{file.name}: {found.group()} doubled"

    def lost_file(self) -> str:
        """Take a file of the lake away."""
        lake = self.study.data / "lake"
        files = sorted(each for each in lake.rglob("*") if each.is_file() and "tables" not in each.parts)
        file = self.random.choice(files)
        file.unlink()
        return f"{file.relative_to(lake)} is gone"


def _numbers(found: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield every setting that is a number and may change what is made."""
    for key, value in found.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*above, key))
        elif type(value) in (int, float) and "workers" not in key:
            yield (*above, key), value


def not_learnt() -> str:
    """Return the tables of the first two rooms that rest on nothing learnt: seven films are too few to learn from."""
    reads = all_reads(all_tables(), all_checks())
    learnt = {name for each in all_tables() if each.learns for name in (each.name, *descendants(each.name, reads))}
    return ",".join(each.name for each in all_tables() if each.room in ROOMS[:2] and each.name not in learnt)


def differing(one: Study, other: Study) -> list[str]:
    """Return the tables that are not equal in two studies."""
    names = sorted(path.stem for path in (other.data / "lake" / "tables").glob("*.delta"))
    return [name for name in names if not _equal(one, other, name)]


def _equal(one: Study, other: Study, name: str) -> bool:
    return one.has_table(name) and one.table(name).equals(other.table(name))


@dataclass
class Tally:
    """What came of the changes.

    Attributes:
        stood: changes by kind.
        taken_back: how many stopped the run.
        unequal: tables that differed from those made from nothing.
        changed_s: seconds of each run after a change.
        from_nothing_s: seconds of each run from nothing.
    """

    stood: Counter[str] = field(default_factory=Counter)
    taken_back: int = 0
    unequal: list[str] = field(default_factory=list)
    changed_s: list[float] = field(default_factory=list)
    from_nothing_s: list[float] = field(default_factory=list)


def main() -> None:
    """Try, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one change on a study of seven films")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    parser.add_argument("--profile", default="ci")
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--compare-every", type=int, default=5, help="changes between two studies from nothing")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    profile = QUICK_PROFILE if asked.quick else {"extends": asked.profile}
    with tempfile.TemporaryDirectory(prefix="olvf-changes-") as folder:
        bench = Bench(Path(folder), copy.deepcopy(profile), not_learnt() if asked.quick else "*", asked.seed)
        found = try_changes(bench, 1 if asked.quick else asked.changes, asked.compare_every)
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(found.stood.items()))
    compared = f"{len(found.from_nothing_s)} studies from nothing, {len(found.unequal)} tables unequal"
    print(f"\n{found.stood.total()} changes ({kinds}), {found.taken_back} taken back, {compared}")
    if asked.json:
        flat = {"changes": found.stood.total(), "taken_back": found.taken_back, "unequal": len(found.unequal)}
        means = {name: round(statistics.mean(getattr(found, name)), 1) for name in ("changed_s", "from_nothing_s")}
        print(json.dumps(flat | {"compared": len(found.from_nothing_s)} | means))


def try_changes(bench: Bench, n_changes: int, compare_every: int) -> Tally:
    """Make a study, change it again and again, and return what came of it."""
    found = Tally()
    well, said, seconds = bench.make(bench.study)
    if not well:
        raise SystemExit(said)
    print(f"made from nothing in {seconds:.0f} s", flush=True)
    for number in range(1, n_changes + 1):
        take_back = bench.keep()
        kind, what = bench.change()
        well, said, seconds = bench.make(bench.study)
        found.changed_s.append(seconds)
        last = LAST_LINE.search(said.splitlines()[-1]) if well else None
        counts = f"{last[1] or 0} made, {last[2] or 0} unchanged" if last else "taken back"
        print(f"{number:>3} {kind:<10}{what[:90]:<92}{counts:<26}{seconds:>5.0f} s", flush=True)
        if well:
            found.stood[kind] += 1
        else:
            found.taken_back += 1
            take_back()
        if number % compare_every == 0 or number == n_changes:
            if not well and not (again := bench.make(bench.study))[0]:
                raise SystemExit(f"a change that was taken back leaves the study broken:\n{again[1]}")
            start = time.perf_counter()
            fresh = bench.from_nothing()
            found.from_nothing_s.append(time.perf_counter() - start)
            unequal = differing(bench.study, fresh)
            found.unequal += unequal
            print(f"    from nothing in {found.from_nothing_s[-1]:.0f} s: {unequal or 'all tables equal'}", flush=True)
            shutil.rmtree(fresh.folder)
    return found


if __name__ == "__main__":
    main()
