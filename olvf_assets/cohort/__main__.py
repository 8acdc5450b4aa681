"""Count again how many rows each exclusion rule touches in the hospitals of the profiles.

python -m olvf_assets.cohort      after a change of a profile, of the phantom or of a rule; then look at git diff
"""

import argparse
import sys

import polars as pl

from olvf_assets.cohort.expected import EXPECTED_EXCLUSIONS, EXPECTED_FILE, counted_exclusions
from olvf_assets.cohort.rehearsal import rehearse
from olvf_assets.orchestration.sql_models import load_models
from olvf_assets.profiles import FOLDER, load_profile
from olvf_assets.storage.artifacts import write_atomically


def expected_of_profiles() -> pl.DataFrame:
    """Return the counts of every synthetic hospital of every profile, as they stand in the committed file."""
    parts, models = [], load_models()
    for name in sorted(path.stem for path in FOLDER.glob("*.yaml")):
        profile = load_profile(name)
        for key in profile.phantom.institutions:
            made = rehearse(key, profile.phantom, profile.intake, profile.seed, models, ["exclusions"])
            parts.append(counted_exclusions(made["exclusions"]).select(pl.lit(name).alias("profile"), pl.all()))
    return pl.concat(parts).select(EXPECTED_EXCLUSIONS.names())


def main(arguments: list[str] | None = None) -> int:
    """Write the file and return the exit status."""
    argparse.ArgumentParser(prog="python -m olvf_assets.cohort", description=__doc__).parse_args(arguments)
    counts = expected_of_profiles()
    write_atomically(EXPECTED_FILE, counts.write_csv)
    print(f"{counts.height} counts in {EXPECTED_FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
