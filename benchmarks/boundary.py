"""What the boundary costs: ordinary films read behind it, beside the very same functions called in this process.

Films: whole phantom films (2032 x 1693 pixels of 14 bit), header and picture, one after another by one worker, against
a plain loop of as many threads (one); both sides take turns, so that a slow phase of the machine falls on both.
Headers: the headers alone, where a file takes a millisecond. `--films` sets how many; `--quick` takes few.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from olvf_assets.foundation.parallel import limit_threads
from olvf_assets.intake.headers import headers
from olvf_assets.intake.landing.foreign import read_apart
from olvf_assets.intake.pixels import pixels
from olvf_assets.intake.privacy.pseudonyms import SYNTHETIC_KEY, Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.phantom.hospital import write_hospital
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore

KEY = "institution_1"
NAMES = Pseudonymiser(KEY, SYNTHETIC_KEY, synthetic=True)
SETTINGS = IntakeSettings()
PER_TURN = 20
HEADERS_PER_FILM = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=1000, help="how many films are read on each side")
    parser.add_argument("--quick", action="store_true", help="60 films, under a minute")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = measured(Path(name), 60 if asked.quick else asked.films)
    for key, value in figures.items():
        print(f"{key:<44}{value:>14}")
    if asked.json:
        print(json.dumps(figures))


def measured(root: Path, count: int) -> dict[str, float]:
    """Return seconds on both sides and their ratios."""
    limit_threads()  # as in a worker: the boundary is to be compared, not OpenCV's threads
    folder = root / KEY
    profile = load_profile("ci")
    write_hospital(folder, KEY, profile.phantom, profile.seed, workers=0)
    paths = sorted(path.relative_to(folder).as_posix() for path in (folder / "films").rglob("*.dcm"))
    paths = [paths[place % len(paths)] for place in range(count)]
    read = partial(headers._row, folder=folder, names=NAMES, settings=SETTINGS)
    rows = {path: dict(zip(headers.ROW.names(), read(path), strict=True)) for path in set(paths)}
    films = [(path, rows[path] | {"sha256": sha256_of(folder / path)}) for path in paths]
    decode = partial(pixels._decode_one, folder=folder, store=ArtifactStore(root / "lake"), settings=SETTINGS)
    plain_loop(decode, films[: len(rows)])  # every picture is in the store before either side is timed
    read_apart(read, paths[:1])  # a worker is started once and stays
    read_apart(decode, films[:1])
    seconds = dict.fromkeys(("headers_here", "headers_apart", "films_here", "films_apart"), 0.0)
    for start in range(0, count, PER_TURN):
        few, some = paths[start : start + PER_TURN], films[start : start + PER_TURN]
        many = few * HEADERS_PER_FILM
        seconds["headers_here"] += timed(plain_loop, read, many)
        seconds["headers_apart"] += timed(read_apart, read, many)
        seconds["films_here"] += timed(plain_loop, decode, some)
        seconds["films_apart"] += timed(read_apart, decode, some)
    here = seconds["films_here"] + seconds["headers_here"] / HEADERS_PER_FILM
    apart = seconds["films_apart"] + seconds["headers_apart"] / HEADERS_PER_FILM
    return {
        "films": count,
        "headers_apart_over_here": round(seconds["headers_apart"] / seconds["headers_here"], 3),
        "pixels_apart_over_here": round(seconds["films_apart"] / seconds["films_here"], 3),
        "intake_apart_over_here": round(apart / here, 3),
        "films_a_second_apart": round(count / apart, 2),
    }


def sha256_of(file: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def plain_loop(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    """Return what a function makes of each item, called here."""
    return [function(item) for item in items]


def timed(work: Callable[..., Any], *arguments: Any) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
