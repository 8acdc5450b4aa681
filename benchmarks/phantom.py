"""How fast a synthetic hospital's films are rendered and written, and how near that is to the least they can cost.

Writes films of both institutions of the profile `thesis` with all cores, as a run does, and beside them the floor: as
many random normals as each film has pixels, and a DICOM file of as many bytes. Rates are those of busy workers; what
comes before (process start, imports, plan, sheets) is `start_s`; `…_core_s` are a film's processor seconds on one core,
which other programs disturb less. `--quick` writes fewer films, once.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pydicom

from olvf_assets.foundation.parallel import available_cores, limit_threads, parallel_map
from olvf_assets.phantom import film
from olvf_assets.phantom.dicom import make_dataset, write_film
from olvf_assets.phantom.hospital import write_hospital
from olvf_assets.phantom.plan import plan_hospital
from olvf_assets.phantom.settings import PhantomSettings
from olvf_assets.profiles import load_profile

FILMS = {"institution_1": 716, "institution_2": 137}  # used films of the thesis: 10 × 12 and 14 × 17 inch
STAGES = {  # functions of `film.py` whose time, with all they call, belongs to a stage
    "skeleton": ("patient_skeleton", "frame_film"),
    "bone": ("body_cloud", "arch_cloud", "ribs", "pelvis", "implants", "aortic_chalk"),
    "projection": ("path_length",),
    "tissue": ("soft_tissue", "lungs", "bowel_gas", "clutter"),
    "exposure": ("expose", "noise_deviation", "develop", "opening", "collimate", "trabeculae"),
    "noise_and_storing": ("_store",),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some 60 films once, instead of 240 three times")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    figures = measure(patients=24 if asked.quick else 100, repeats=1 if asked.quick else 3)
    for name, value in figures.items():
        print(f"{name:<40}{value:>12}")
    if asked.json:
        print(json.dumps(figures))


def measure(patients: int, repeats: int) -> dict[str, float]:
    """Return films per second, the floor's, and core-seconds per film by stage; the best of `repeats` counts."""
    profile = load_profile("thesis")
    film_s: dict[str, float] = {}
    floor_s: dict[str, float] = {}
    stage_s: dict[str, dict[str, float]] = {}
    start_s = []
    for key in FILMS:
        settings = _part(profile.phantom, key, patients)
        runs = [_write_both(settings, key, profile.seed) for _ in range(repeats)]
        film_s[key], floor_s[key], start = (min(each) for each in zip(*runs, strict=True))
        start_s.append(start)
        stage_s[key] = _stages(settings, key, profile.seed)
    figures: dict[str, float] = {"cores": available_cores()}
    for key in FILMS:
        figures[f"{key}_films_per_s"] = round(1 / film_s[key], 2)
        figures[f"{key}_floor_films_per_s"] = round(1 / floor_s[key], 1)
    figures["thesis_films_per_s"] = round(1 / _mix(film_s), 2)
    figures["film_over_floor"] = round(_mix(film_s) / _mix(floor_s), 1)
    figures["start_s"] = round(min(start_s), 1)
    for stage in stage_s["institution_1"]:
        figures[f"{stage}_core_s"] = round(_mix({key: spent[stage] for key, spent in stage_s.items()}), 3)
    return figures


def _write_both(settings: PhantomSettings, key: str, seed: int) -> tuple[float, float, float]:
    """Write a landing folder and then the floor's files; return seconds per film, per floor's file and of the start."""
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder) / key
        film_s, start_s = _pace(lambda report: write_hospital(landing, key, settings, seed, report=report))
        films = len(list(landing.rglob("*.dcm")))
        jobs = [(Path(folder) / f"{number}.dcm", *_size(settings, key)) for number in range(films)]
        floor_s, _ = _pace(lambda report: parallel_map(write_floor, jobs, report=report))
    return film_s, floor_s, start_s


def write_floor(job: tuple[Path, int, int]) -> None:
    """Make a normal number per pixel and write a DICOM file of that many 16-bit values."""
    path, height, width = job
    grain = film.noise_source(1).standard_normal((height, width), dtype=np.float32)
    ds = pydicom.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = pydicom.uid.ComputedRadiographyImageStorage, "2.25.1"
    ds.Rows, ds.Columns = height, width
    ds.BitsAllocated = 16
    ds.PixelData = grain.view(np.uint16)[:, :width].tobytes()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    pydicom.dcmwrite(path, ds, enforce_file_format=True)


def _part(phantom: PhantomSettings, key: str, patients: int) -> PhantomSettings:
    """Return settings whose institution has about so many patients, of the same kinds in the same proportions."""
    site = phantom.institutions[key]
    kinds = ("patients_normal", "patients_fresh", "patients_old")
    share = patients / sum(getattr(site, kind) for kind in kinds)
    fewer: dict[str, Any] = {kind: round(getattr(site, kind) * share) for kind in kinds}
    fewer |= {"excluded_fresh": {}, "excluded_old": {}, "reread_patients": 0}
    return phantom.model_copy(update={"institutions": {key: site.model_copy(update=fewer)}})


def _pace(work: Callable[[Callable[[str], None]], object]) -> tuple[float, float]:
    """Return seconds per film between the first and the last line of progress, and seconds before that pace began."""
    seen: list[tuple[float, int]] = []
    began = time.perf_counter()
    work(lambda line: seen.append((time.perf_counter(), int(line.split("/")[0]))))
    (first_at, first), (last_at, last) = seen[0], seen[-1]
    seconds = (last_at - first_at) / (last - first)
    return seconds, first_at - began - first * seconds


def _stages(settings: PhantomSettings, key: str, seed: int) -> dict[str, float]:
    """Return processor seconds of each stage of a film, of the whole and of the floor: twelve films on one core."""
    limit_threads(1)
    site = settings.institutions[key]
    patients = plan_hospital(key, settings, seed)
    jobs = [(patient, plan) for patient in patients for plan in patient.films][:12]
    spent: dict[str, float] = dict.fromkeys([*STAGES, "dicom", "film", "floor"], 0.0)

    def timed(stage: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        began = time.process_time()
        result = function(*arguments, **named)
        spent[stage] += (time.process_time() - began) / len(jobs)
        return result

    with tempfile.TemporaryDirectory() as folder, ExitStack() as patches:
        path = Path(folder) / "film.dcm"
        film.render_film(*jobs[0], site)  # fills caches
        for stage, names in STAGES.items():
            for name in names:
                patches.enter_context(patch.object(film, name, partial(timed, stage, getattr(film, name))))
        for patient, plan in jobs:
            made = timed("film", film.render_film, patient, plan, site)
            dataset = timed("dicom", make_dataset, made, patient, plan, site)
            timed("dicom", write_film, path, dataset)
            timed("floor", write_floor, (path, *_size(settings, key)))
    spent["blurs_and_sums"] = spent["film"] - sum(spent[stage] for stage in STAGES)
    spent["film"] += spent["dicom"]
    return spent


def _size(settings: PhantomSettings, key: str) -> tuple[int, int]:
    """Return a film's height and width in px."""
    site = settings.institutions[key]
    width, height = (round(each / site.pixel_mm) for each in site.plate_mm)
    return height, width


def _mix(per_film: dict[str, float]) -> float:
    """Return the mean over the thesis's films of a figure known per institution."""
    return sum(FILMS[key] * value for key, value in per_film.items()) / sum(FILMS.values())


if __name__ == "__main__":
    main()
