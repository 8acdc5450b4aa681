"""A hospital's folder looked at before anything of it is copied.

What lives here: intake's own steps on the folder where it lies, up to the headers, and in words what would be taken in,
what refused, and what would stop the hospital. What does not: reading a file (room `intake`), copying (`hospitals.py`).
Pixels, and drawn boxes against films, are looked at when the hospital is taken in.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.tables import TableRun
from olvf_assets.intake import assets as intake
from olvf_assets.intake.privacy.pseudonyms import KEY_FILE, make_key_file
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.artifacts import ArtifactStore

STEPS = (
    intake.landing_manifest,
    intake.institutions,
    intake.subjects,
    intake.reader_labels,
    intake.film_conditions,
    intake.dicom_headers,
)
GOES_ON_WITHOUT = ("reader_labels", "film_conditions")  # a faulty one is told, and the films are looked at all the same
SHEETS = {"subjects": "subjects", "reader_labels": "readers", "film_conditions": "conditions"}  # table -> its sheet
CALLED = {"candidate": "files that may be films", "sheet": "sheets", "boxes": "box files"}


@dataclass(frozen=True)
class Look:
    """What was seen in a hospital's folder.

    Attributes:
        found: lines, a kind of file or a sheet each, with counts and first reasons.
        missing: lines, what was not handed over and what that takes away; it stops nothing.
        stops: why the hospital could not be taken in as it lies there; nothing does where this is empty.
    """

    found: list[str]
    missing: list[str]
    stops: list[str]

    def described(self) -> str:
        """Return all of it as text for a terminal."""
        lines = [*self.found, *self.missing]
        stops = [f"  {line}" for line in self.stops]
        return "\n".join([*lines, *(["this stops the hospital:", *stops] if stops else ["nothing stops it"])])


def look_at(key: str, source: Path, study: StudyResource, report: Callable[[str], None]) -> Look:
    """Return what intake would say of a folder; nothing is written but a scratch folder that goes again.

    Args:
        key: the hospital's.
        source: its folder.
        study: whose settings count, and whose key for pseudonyms if there is one.
        report: gets progress lines.

    Raises:
        MachineError: this machine's fault, not the folder's.
    """
    with TemporaryDirectory(prefix="olvf-look-") as scratch:
        data = Path(scratch)
        (data / "landing").mkdir()
        (data / "landing" / key).symlink_to(source.resolve(), target_is_directory=True)
        if (study.data / KEY_FILE).exists():
            shutil.copy2(study.data / KEY_FILE, data)
        else:
            make_key_file(data)
        run = TableRun(study.profile, ArtifactStore(data / "lake"), data, key, report=report)
        frames: dict[str, pl.DataFrame] = {}
        stops, left_out = [], []
        empty = {table.name: table.schema.to_frame() for table in STEPS if table.name in GOES_ON_WITHOUT}
        for table in STEPS:
            known = empty | frames
            if not set(table.reads) <= known.keys():
                left_out.append(table.name)
                continue
            try:
                frames[table.name] = table.make(run, **{name: known[name] for name in table.reads})
            except MachineError:
                raise
            except OlvfError as error:
                stops.append(f"{table.name}: {error}".replace(str(data / "landing" / key), str(source)))
    found = list(_described(frames))
    if left_out:
        found.append(f"not looked at, for what stops the hospital comes before: {', '.join(left_out)}")
    return Look(found, list(_missing(frames)), stops)


def _described(frames: dict[str, pl.DataFrame]) -> Iterator[str]:
    if (manifest := frames.get("landing_manifest")) is not None:
        arrived = manifest.filter(state="arrived")
        yield f"{len(manifest)} paths, {int(arrived['size_bytes'].sum()) / 1e6:,.1f} MB arrived"
        for kind, called in CALLED.items():
            if count := len(arrived.filter(kind=kind)):
                yield f"  {called}: {count}"
        for state in ("archive", "ignored", "refused"):
            if len(others := manifest.filter(state=state)):
                yield f"  {state}: {_reasons(others, 'reason', 'detail')}"
    if (headers := frames.get("dicom_headers")) is not None:
        refused = headers.filter(pl.col("refusal").is_not_null())
        yield f"films by their headers: {len(headers) - len(refused)} would be taken in, {len(refused)} refused"
        if len(refused):
            yield f"  refused: {_reasons(refused, 'refusal', 'refusal_detail')}"
    if (subjects := frames.get("subjects")) is not None and len(subjects):
        patients = set(subjects["patient_id"])
        yield f"subjects: {len(patients)} patients"
        if headers is not None and (
            without := patients - set(headers.filter(pl.col("refusal").is_null())["patient_id"])
        ):
            yield f"  {len(without)} of them without a film that would be taken in"
    if (labels := frames.get("reader_labels")) is not None and len(labels):
        readers = ", ".join(labels["reader"].unique().sort())
        yield f"readings: {len(labels)} of {labels['patient_id'].n_unique()} patients (readers {readers})"
    if (conditions := frames.get("film_conditions")) is not None and len(conditions):
        yield f"conditions: {len(conditions)}"


def _missing(frames: dict[str, pl.DataFrame]) -> Iterator[str]:
    """Yield what a hospital did not hand over, and what that takes away."""
    manifest = frames.get("landing_manifest")
    if manifest is None:
        return
    learns = "institutions" in frames and "development" in frames["institutions"]["role"].to_list()
    takes_away = {
        "subjects": "whoever has a film takes part; age, sex and the days to onset and MRI stay unknown",
        "readers": "films will be scored, no accuracy" + (", and nothing is learnt from them" if learns else ""),
        "conditions": "no vertebra is left out for a crush, its picture or an unknown onset",
    }
    for table, sheet in SHEETS.items():
        if (rows := frames.get(table)) is not None and rows.is_empty():
            yield f"no {sheet}.csv, or no row in it: {takes_away[sheet]}"
    if manifest.filter(kind="boxes", state="arrived").is_empty():
        learning = ", and it does not learn from them" if learns else ""
        yield f"no drawn boxes: the detector is not measured on these films{learning}"
    labels, headers = frames.get("reader_labels"), frames.get("dicom_headers")
    if labels is not None and headers is not None and len(labels):
        with_film = headers.filter(pl.col("refusal").is_null())["patient_id"].unique()
        if unread := len(set(with_film) - set(labels["patient_id"])):
            yield f"{unread} of {len(with_film)} patients without a reading: scored, counted in no figure"
    like_sheets = manifest.filter(
        pl.col("path").str.contains(r"(?i)\.(csv|tsv|xlsx?)$"), kind="candidate", state="arrived"
    )
    if len(like_sheets):
        yield (
            f"{len(like_sheets)} files look like sheets and are read as none: a sheet is called subjects, readers or "
            "conditions and lies beside institution.toml"
        )


def _reasons(rows: pl.DataFrame, reason: str, detail: str) -> str:
    """Return reasons with counts, the most frequent first, and of each the first detail."""
    counted = (
        rows.with_columns(pl.col(reason).fill_null("by itself"))
        .group_by(reason)
        .agg(pl.len(), first=pl.col(detail).drop_nulls().first())
        .sort(["len", reason], descending=[True, False])
    )
    return "; ".join(
        f"{name} {count}" + (f" (first: {first})" if first else "") for name, count, first in counted.iter_rows()
    )
