"""Every file that pydicom bundles for its own tests goes through intake; the outcome of each is in a committed table.

`OLVF_UPDATE_SNAPSHOT=1` writes the table anew. Column `refusal` is what a hospital would see (empty: accepted, as far
as the header goes); `pixels` is what decoding gives when the header's refusal is set aside.
"""

import os
import shutil
from pathlib import Path

import polars as pl
import pydicom
import pytest

from olvf_assets.intake.pixels.pixels import film_pixels
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, headers, hospital

BUNDLED = Path(pydicom.__file__).parent / "data"
FOLDERS = ("test_files", "charset_files", "palettes")
TABLE = Path(__file__).parent / "pydicom_files.csv"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    root = tmp_path_factory.mktemp("bundled")
    folder = hospital(root, {"text": b"no film"})
    (folder / "films" / "text").unlink()
    for name in FOLDERS:
        shutil.copytree(BUNDLED / name, folder / "films" / name, ignore=shutil.ignore_patterns("__*", "*.py"))
    found = headers(folder)
    films = found.filter(pl.col("film_id").is_not_null()).with_columns(
        pl.lit(None, pl.String).alias("refusal"), pl.lit("header").alias("view_source"),
        pl.lit("spine").alias("body_part"),
        pl.lit("header").alias("body_part_source"), pl.lit("neutral").alias("bending"), pl.lit(0.15).alias("pixel_mm"),
    )  # fmt: skip
    decoded = film_pixels(folder, films, ArtifactStore(root / "lake"), NAMES, SETTINGS, workers=1)
    pixels = decoded.select("path", pl.coalesce("refusal", "voi").alias("pixels"))
    shown = found.join(pixels, on="path", how="left").select(
        pl.col("path").str.strip_prefix("films/"), "refusal", pl.col("refusal_detail").alias("detail"), "pixels"
    )
    return shown.sort("path")


def test_every_bundled_file_has_the_outcome_of_the_table(outcomes: pl.DataFrame) -> None:
    if os.environ.get("OLVF_UPDATE_SNAPSHOT"):
        outcomes.write_csv(TABLE)
    pinned = pl.read_csv(TABLE, schema_overrides=dict.fromkeys(outcomes.columns, pl.String))
    assert outcomes.rows() == pinned.rows()


def test_every_file_of_the_package_is_in_the_table(outcomes: pl.DataFrame) -> None:
    bundled = {
        path.relative_to(BUNDLED).as_posix()
        for name in FOLDERS
        for path in (BUNDLED / name).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert set(outcomes["path"]) == bundled
    assert outcomes.height > 180
    assert outcomes.filter(pl.col("refusal").is_not_null() & pl.col("detail").is_null()).is_empty()
