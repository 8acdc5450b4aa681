"""How many rows each exclusion rule may touch in the hospitals that the profiles make up.

What lives here: the committed counts (`dbt_like_sql/seeds/expected_exclusions.csv`) and holding a run against them.
What does not: the rules (SQL models), making the counts (`__main__.py`). A hospital that the file does not name under
the profile is not held against anything.
"""

from pathlib import Path

import polars as pl

from olvf_assets.storage.sql import SQL_FOLDER

EXPECTED_FILE = SQL_FOLDER / "seeds" / "expected_exclusions.csv"
EXPECTED_EXCLUSIONS = pl.Schema(
    {"profile": pl.String, "institution": pl.String, "rule": pl.String, "reason": pl.String, "n": pl.Int64}
)
WAY_OUT = "look for what changed; if it is meant: python -m olvf_assets.cohort"
RULE = ["institution", "rule", "reason"]


def expected_exclusions(path: Path = EXPECTED_FILE) -> pl.DataFrame:
    """Return the committed counts: profile, institution, rule, reason, n."""
    return pl.read_csv(path, schema=EXPECTED_EXCLUSIONS)


def counted_exclusions(exclusions: pl.DataFrame) -> pl.DataFrame:
    """Return how many rows of table `exclusions` each rule made: institution, rule, reason, n, sorted."""
    return exclusions.group_by(RULE).agg(pl.len().cast(pl.Int64).alias("n")).sort(RULE)


def unexpected_exclusions(
    exclusions: pl.DataFrame, profile: str, institution: str, expected: pl.DataFrame
) -> pl.DataFrame:
    """Return rule, reason, expected, found and a way out wherever a hospital's exclusions are not as many as expected.

    Args:
        exclusions: table `exclusions` of one hospital.
        profile: name of the run's profile.
        institution: the hospital.
        expected: counts as `expected_exclusions` returns them.
    """
    own = expected.filter(pl.col("profile") == profile, pl.col("institution") == institution).drop("profile")
    both = own.join(counted_exclusions(exclusions), on=RULE, how="full", coalesce=True, suffix="_found")
    counts = both.select(
        *RULE, expected=pl.col("n").fill_null(0), found=pl.col("n_found").fill_null(0), way_out=pl.lit(WAY_OUT)
    ).sort(RULE)
    return counts.filter(pl.col("expected") != pl.col("found")) if own.height else counts.clear()
