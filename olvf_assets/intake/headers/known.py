"""Header rows of files that were read before.

What lives here: rows of `dicom_headers` kept by the hash of their file's content, so that no header is parsed twice.
What does not: parsing (`headers.reading`), refusals that depend on other files (`headers`).
"""

import polars as pl

from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.tables import DICOM_HEADERS
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint

# What follows from one file's content alone.
ROW = pl.Schema({name: dtype for name, dtype in DICOM_HEADERS.items() if name not in ("institution", "path")})
# These say something of the machine as well, not only of the file: the next run tries again.
PASSING_REFUSALS = ("unreadable", "unsupported_transfer_syntax")


class KnownHeaders:
    """Header rows by `sha256`, in one parquet file per institution, key, settings and code: no header is parsed twice.

    Args:
        store: the lake's place for work that may be done again; None remembers nothing.
        names: the rows hold its pseudonyms, so another key makes other rows.
        settings: they decide refusals.
    """

    def __init__(self, store: ArtifactStore | None, names: Pseudonymiser, settings: IntakeSettings) -> None:
        made_with = {
            "settings": settings.model_dump(mode="json"),
            "key": names.film("which key made these rows"),
            "code": code_digest("olvf_assets.intake.headers.reading:read_header"),
        }
        self.store, self.file = store, f"work/dicom_headers/{names.institution}-{fingerprint(made_with)}.parquet"

    def rows(self) -> pl.DataFrame:
        """Return what is known, one row per `sha256`, columns `ROW`."""
        known = None
        if self.store is not None:  # damaged: everything is read again
            known = self.store.read(self.file, lambda file: pl.read_parquet(file).select(ROW.names()).cast(ROW))
        return pl.DataFrame(schema=ROW) if known is None else known

    def keep(self, rows: pl.DataFrame) -> None:
        """Remember rows (columns `ROW`), one per `sha256`, in place of those kept before."""
        if self.store is not None:
            passing = pl.col("refusal").is_in(PASSING_REFUSALS).fill_null(value=False)
            self.store.write(self.file, rows.filter(~passing).write_parquet)
