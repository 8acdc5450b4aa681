"""How fast films are taken in, beside what a user would pick instead; everything in one run on one machine.

Headers: the table `dicom_headers` of made-up files against a plain loop with pydicom that reads twelve values, and
against DCMTK's `dcmdump` printing the same twelve tags, all files in as few processes as the command line allows.
Again: the same folder a second time. Memory: the largest process while so many headers are catalogued, and while a
tenth of them is. Decoding: one phantom film in each transfer syntax, our choice of decoder against pydicom's own, films
a second of one core (GDCM takes several for JPEG 2000, which helps nobody while a process runs on each core).
Views: what pictures of phantom films tell without their headers. `--quick` takes fewer files and films.
"""

import argparse
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLSLossless, RLELossless

from olvf_assets.intake.headers.headers import dicom_headers
from olvf_assets.intake.headers.known import KnownHeaders
from olvf_assets.intake.landing.landing import landing_manifest
from olvf_assets.intake.pixels.decoders import decode
from olvf_assets.intake.pixels.grey_levels import grey_levels
from olvf_assets.intake.pixels.picture_views import decide_view, kind_of_picture
from olvf_assets.intake.privacy.pseudonyms import SYNTHETIC_KEY, Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.phantom.dicom import make_dataset, make_uid
from olvf_assets.storage import remembered
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.places import PROJECT
from olvf_assets.storage.remembered import RememberedFacts

sys.path.insert(0, str(PROJECT))  # the tests are not installed; they know how to draw frontal films
from olvf_assets_tests.intake.phantom_films import Case, cases

NAMES = Pseudonymiser("institution_1", SYNTHETIC_KEY, synthetic=True)
SETTINGS = IntakeSettings(min_side_mm=0.0)
TAGS = (
    "SOPInstanceUID", "PatientID", "Modality", "BodyPartExamined", "ViewPosition", "SeriesDescription", "Rows",
    "Columns", "ImagerPixelSpacing", "BitsStored", "PhotometricInterpretation", "KVP",
)  # fmt: skip
FILES_PER_COMMAND = 1000
SILENT = {
    "view_source": None, "view_evidence": "", "body_part": None, "body_part_source": None, "body_part_evidence": "",
    "bending": "unknown",
}  # fmt: skip
VIEWS = ("neutral", "flexion", "extension", "thoracic", "frontal")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer files and films, under a minute")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    sample = next(cases(1, 7, ("neutral",)))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        figures: dict[str, float | str] = {
            **headers_figures(root / "headers", sample, 2000 if asked.quick else 10_000),
            **memory_figures(root / "memory", sample, 10_000 if asked.quick else 100_000),
            **decoding_figures(root / "decoding", sample, rounds=3 if asked.quick else 15),
        }
    figures |= view_figures(patients=2 if asked.quick else 40)
    for key, value in figures.items():
        print(f"{key:<44}{value:>14}")
    if asked.json:
        print(json.dumps(figures))


def made_up_films(folder: Path, sample: Case, count: int) -> Path:
    """Write films with the header of a phantom film and four pixels, each of its own instance; return the folder."""
    dataset = make_dataset(sample.film, sample.patient, sample.plan, sample.site)
    dataset.Rows = dataset.Columns = 2
    dataset.PixelData = b"\0\1\2\3\4\5\6\7"
    template = folder / "template.dcm"
    folder.mkdir(parents=True)
    pydicom.dcmwrite(template, dataset, enforce_file_format=True)
    content = template.read_bytes()
    template.unlink()
    uid = str(dataset.SOPInstanceUID).encode()
    films = folder / "institution_1" / "films"
    for number in range(count):
        place = films / f"{number // 1000:04d}"
        place.mkdir(parents=True, exist_ok=True)
        other = make_uid(number, "made up").encode()[: len(uid)].ljust(len(uid), b"0")
        (place / f"{number:07d}.dcm").write_bytes(content.replace(uid, other))
    return folder / "institution_1"


def headers_figures(root: Path, sample: Case, count: int) -> dict[str, float | str]:
    """Return rates of reading headers, files a second, and their ratios."""
    folder = made_up_films(root, sample, count)
    store = ArtifactStore(root / "lake")
    hashes = RememberedFacts(ArtifactStore(root), "hashes.parquet", str)
    films = sorted((folder / "films").rglob("*.dcm"))
    remembered.CLOCK_GRAIN_NS = -1  # keep the hashes of films that were written just now
    for film in films:
        film.read_bytes()  # every rival reads from the same warm cache
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], pl.DataFrame | None]) -> pl.DataFrame | None:
        start = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - start
        return result

    def catalogue(known: KnownHeaders | None, workers: int) -> pl.DataFrame:
        return dicom_headers(folder, manifest, (), NAMES, SETTINGS, known=known, workers=workers)

    manifest = timed("manifest", lambda: landing_manifest(folder, "institution_1", hashes=hashes))
    timed("manifest_again", lambda: landing_manifest(folder, "institution_1", hashes=hashes))
    known = KnownHeaders(store, NAMES, SETTINGS)
    timed("pydicom_loop", lambda: pydicom_loop(films))
    timed("headers_one_process", lambda: catalogue(None, 1))
    timed("headers", lambda: catalogue(known, 0))
    timed("headers_again", lambda: catalogue(known, 0))
    figures: dict[str, float | str] = {"header_files": count}
    if shutil.which("dcmdump"):
        timed("dcmdump", lambda: dcmdump(films))
        figures["headers_over_dcmdump"] = round(seconds["dcmdump"] / seconds["headers"], 2)
    else:
        print("dcmdump is not installed: headers are not compared with it (Debian package dcmtk)")
    figures |= {f"{name}_per_s": round(count / each) for name, each in seconds.items()}
    figures["headers_over_pydicom_loop"] = round(seconds["pydicom_loop"] / seconds["headers"], 2)
    figures["headers_one_process_over_pydicom_loop"] = round(
        seconds["pydicom_loop"] / seconds["headers_one_process"], 2
    )
    figures["headers_again_over_headers"] = round(seconds["headers"] / seconds["headers_again"], 1)
    return figures


def pydicom_loop(films: list[Path]) -> None:
    """Read twelve values of every film, as the first script on the subject does."""
    for film in films:
        header = pydicom.dcmread(film, stop_before_pixels=True)
        [header.get(name) for name in TAGS]


def dcmdump(films: list[Path]) -> None:
    """Print the same twelve tags of every film with DCMTK."""
    options = [word for name in TAGS for word in ("+P", name)]
    for first in range(0, len(films), FILES_PER_COMMAND):
        few = [str(film) for film in films[first : first + FILES_PER_COMMAND]]
        subprocess.run(["dcmdump", "-q", *options, *few], check=True, stdout=subprocess.DEVNULL)


def memory_figures(root: Path, sample: Case, count: int) -> dict[str, float | str]:
    """Return the largest memory of a process that catalogues `count` headers, and a tenth of them, MiB."""
    folder = made_up_films(root, sample, count)
    tenth = made_up_films(root / "tenth", sample, count // 10)
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for name, place in (("tenth", tenth), ("whole", folder)):
        with context.Pool(1) as pool:
            peaks[name] = pool.apply(catalogued_peak_mib, (place,))
    shown = "100k" if count == 100_000 else str(count)
    return {
        f"peak_memory_mib_{shown}": peaks["whole"],
        "peak_memory_mib_tenth_of_it": peaks["tenth"],
        "peak_memory_growth": round(peaks["whole"] / peaks["tenth"], 2),
    }


def catalogued_peak_mib(folder: Path) -> float:
    """Return the largest memory of this process while it catalogues a folder, MiB."""
    manifest = landing_manifest(folder, "institution_1")
    known = KnownHeaders(ArtifactStore(folder.parent / "lake"), NAMES, SETTINGS)
    table = dicom_headers(folder, manifest, (), NAMES, SETTINGS, known=known, workers=1)
    if table.height != manifest.height:
        raise SystemExit(f"{manifest.height} files, {table.height} rows")
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count what the parent took before
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)


def decoding_figures(root: Path, sample: Case, rounds: int) -> dict[str, float | str]:
    """Return films a second of one core for each transfer syntax with our decoder, and over pydicom's own choice."""
    root.mkdir()
    figures: dict[str, float | str] = {}
    for name, file in in_every_syntax(
        root, make_dataset(sample.film, sample.patient, sample.plan, sample.site)
    ).items():
        header = pydicom.dcmread(file)
        ours, theirs = best_seconds(lambda: decode(header), lambda: default_choice(header), rounds)  # noqa: B023
        figures[f"decode_{name}_per_s"] = round(1 / ours, 1)
        figures[f"decode_{name}_over_default"] = round(theirs / ours, 2)
        for plugin in get_decoder(header.file_meta.TransferSyntaxUID).available_plugins:
            seconds = plugin_seconds(header, plugin, rounds)
            if seconds is not None:
                figures[f"decode_{name}_by_{plugin}_per_s"] = round(1 / seconds, 1)
    return figures


def default_choice(header: Dataset) -> np.ndarray:
    """Return the pixels as `Dataset.pixel_array` decodes them, without its memory of the last call."""
    return get_decoder(header.file_meta.TransferSyntaxUID).as_array(header)[0]


def plugin_seconds(header: Dataset, plugin: str, rounds: int) -> float | None:
    """Return the seconds of one plug-in, None where it cannot decode the film."""
    decoder = get_decoder(header.file_meta.TransferSyntaxUID)

    def work() -> np.ndarray:
        return decoder.as_array(header, decoding_plugin=plugin, raw=True)[0]

    try:
        return best_seconds(work, work, max(1, rounds // 3))[0]
    except RuntimeError:
        return None


def best_seconds(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the least processor time of each over some rounds, taken in turn: intake decodes on all cores at once."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for place, work in enumerate((ours, theirs)):
            start = time.process_time()
            work()
            best[place] = min(best[place], time.process_time() - start)
    return best[0], best[1]


def in_every_syntax(root: Path, dataset: Dataset) -> dict[str, Path]:
    """Write one film in every transfer syntax that an encoder is installed for; return the files by name."""
    plain = root / "explicit.dcm"
    pydicom.dcmwrite(plain, dataset, enforce_file_format=True)
    files = {"explicit": plain}
    for name, syntax, options in (
        ("rle", RLELossless, {}),
        ("jpeg_ls", JPEGLSLossless, {}),
        ("jpeg_2000_lossless", JPEG2000Lossless, {}),
        ("jpeg_2000_lossy", JPEG2000, {"j2k_cr": [20]}),
    ):
        compressed = pydicom.dcmread(plain)
        compressed.compress(syntax, generate_instance_uid=False, **options)
        files[name] = root / f"{name}.dcm"
        compressed.save_as(files[name])
    eight_bit = pydicom.dcmread(plain)
    eight_bit.PixelData = (eight_bit.pixel_array >> 6).astype(np.uint8).tobytes()
    eight_bit.BitsAllocated, eight_bit.BitsStored, eight_bit.HighBit = 8, 8, 7
    eight_bit["PixelData"].VR = "OB"
    eight_bit.save_as(root / "eight_bit.dcm")
    for name, source, command in (
        ("implicit", plain, ["dcmconv", "+ti"]),
        ("big_endian", plain, ["dcmconv", "+tb"]),
        ("deflated", plain, ["dcmconv", "+td"]),
        ("jpeg_lossless_sv1", plain, ["dcmcjpeg", "+e1"]),
        ("jpeg_lossless", plain, ["dcmcjpeg", "+el"]),
        ("jpeg_baseline", root / "eight_bit.dcm", ["dcmcjpeg", "+eb"]),
    ):
        if shutil.which(command[0]):
            target = root / f"{name}.dcm"
            done = subprocess.run([*command, str(source), str(target)], check=False, capture_output=True, text=True)
            if done.returncode == 0:
                files[name] = target
            else:
                print(f"no {name}: {done.stderr.strip()[-200:]}")
        else:
            print(f"no {name}: {command[0]} is not installed (Debian package dcmtk)")
    return files


def view_figures(patients: int) -> dict[str, float | str]:
    """Return what pictures of phantom films tell of view and body part, as counts, and the milliseconds of a look."""
    views: Counter[tuple[str, str]] = Counter()
    spent = []
    for case in cases(patients, 20261125, VIEWS):
        header = make_dataset(case.film, case.patient, case.plan, case.site)
        header.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
        pixels = grey_levels(case.film.pixels, header, (0.5, 99.5)).pixels
        start = time.process_time()
        kind = kind_of_picture(pixels, case.site.pixel_mm)
        spent.append(time.process_time() - start)
        found = decide_view(SILENT, kind)
        views[case.view, found["refusal"] or f"{found['body_part']} taken in"] += 1
    figures: dict[str, float | str] = {"view_films": sum(views.values())}
    figures |= {f"{view}_{said.replace(' ', '_')}": count for (view, said), count in sorted(views.items())}
    figures["frontal_films_taken_in"] = sum(n for (view, said), n in views.items() if view == "frontal" and " " in said)
    figures["look_ms"] = round(1000 * float(np.median(spent)), 2)
    return figures


if __name__ == "__main__":
    main()
