"""What the leakage audit costs, beside what a user would pick instead; everything in one run on one machine.

Audit: `leakage_audit` and its summary over made-up lineage rows of a leaking study (protocol `thesis`), with a
thumbnail for every picture. Loop: 64-bit difference hashes of the same pictures compared pair by pair in Python, as
scripts that look for duplicates do; timed on some of the pairs and scaled up. Floor: the multiplications of the search
alone. `--quick` takes a tenth of the rows.
"""

import argparse
import json
import resource
import time

import numpy as np
import polars as pl

from olvf_assets.evaluation.firewall.fingerprints import SIDE_PX, near_duplicates
from olvf_assets.evaluation.firewall.leakage import leakage_audit, leakage_summary
from olvf_assets.evaluation.tables import SAMPLE_LINEAGE

ROWS = 100_000
CROPS_PER_PATIENT, FOLDS = 8, 5
LOOPED_PAIRS = 300_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    figures = measure(ROWS // 10 if asked.quick else ROWS)
    for name, value in figures.items():
        print(f"{name:<36}{value:>14}")
    if asked.json:
        print(json.dumps(figures))


def measure(rows: int) -> dict[str, float]:
    """Return seconds, ratios and memory for so many rows of `sample_lineage`."""
    lineage = made_up_lineage(rows)
    paths = pl.concat([lineage["crop_path"], lineage["film_path"]]).drop_nulls().unique().sort()
    pixels = np.random.default_rng(1).integers(0, 256, (len(paths), SIDE_PX**2), dtype=np.uint8)
    fingerprints = pl.DataFrame(
        {"institution": "one", "image_path": paths, "thumbnail": [row.tobytes() for row in pixels]}
    )
    institutions = pl.DataFrame({"institution": ["one", "two"], "role": ["development", "external"]})
    start = time.perf_counter()
    audit = leakage_audit(lineage, fingerprints, institutions, 0.98)
    summary = leakage_summary(audit, lineage)
    audit_s = time.perf_counter() - start
    if summary.filter(pl.col("n_samples") > 0).is_empty():
        raise SystemExit("the made-up study should leak")
    half = len(paths) // 2
    one, other = [row.tobytes() for row in pixels[:half]], [row.tobytes() for row in pixels[half:]]
    start = time.perf_counter()
    near_duplicates(one, other, 0.98)
    search_s = time.perf_counter() - start
    left, right = pixels[:half].astype(np.float32), pixels[half:].astype(np.float32)
    start = time.perf_counter()
    for begin in range(0, len(right), 2048):
        left[:4096] @ right[begin : begin + 2048].T
    floor_s = (time.perf_counter() - start) * len(left) / min(4096, len(left))
    return {
        "lineage_rows": rows,
        "pictures": len(paths),
        "findings": audit.height,
        "audit_s": round(audit_s, 2),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "search_s": round(search_s, 2),
        "search_over_hash_loop": round(search_s / hash_loop_s(pixels, half), 4),
        "search_over_floor": round(search_s / floor_s, 2),
    }


def made_up_lineage(rows: int) -> pl.DataFrame:
    """Return `sample_lineage` of a study that splits per crop: a tenth tests, a tenth is external."""
    number = np.arange(rows)
    stage = np.select(
        [number % 10 == 0, number % 10 == 1, number % 10 == 2],
        ["test", "external", "classifier_validation"],
        "classifier_training",
    )
    external = stage == "external"
    patient = number // CROPS_PER_PATIENT
    institution = np.where(external, "two", "one")
    ids = [f"{who}-{n}" for who, n in zip(institution, patient, strict=True)]
    table = pl.DataFrame(
        {
            "protocol": "thesis",
            "stage": stage,
            "fold": number % FOLDS + 1,
            "institution": institution,
            "patient_id": ids,
            "film_id": [f"F{each}" for each in ids],
            "crop_id": [f"F{who}-{n % 5}" for who, n in zip(ids, number, strict=True)],
            "sample_id": [f"S{n}" for n in number],
            "copy": 0,
            "film_path": [f"film {each}" for each in ids],
            "crop_path": [f"crop {n // 2}" for n in number],
        }
    )
    of_fold = pl.col("stage").is_in(["classifier_training", "classifier_validation"])
    return table.with_columns(pl.when(of_fold).then("fold").alias("fold")).cast(SAMPLE_LINEAGE)


def hash_loop_s(pixels: np.ndarray, half: int) -> float:
    """Return the seconds that comparing difference hashes pair by pair in Python takes, scaled up from some pairs."""
    rows = pixels.reshape(-1, SIDE_PX, SIDE_PX)[:, ::3, ::2][:, :8, :9].astype(int)
    bits = (rows[:, :, 1:] > rows[:, :, :-1]).reshape(len(pixels), -1)
    hashes = [int("".join("1" if bit else "0" for bit in row), 2) for row in bits]
    left, right = hashes[:half], hashes[half:]
    some = max(1, min(len(left), LOOPED_PAIRS // max(1, len(right))))
    start = time.perf_counter()
    found = 0
    for one in left[:some]:
        for other in right:
            found += (one ^ other).bit_count() <= 4
    return (time.perf_counter() - start) * len(left) / some


if __name__ == "__main__":
    main()
