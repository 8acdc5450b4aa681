"""How the detector did on hospitals that it has not learnt from, from the tables of the last run.

What lives here: which tables and films, the printed table, the folder of files. What does not: the measures
(`evaluation.transfer`), the pictures (`reporting.transfer_sheets`).
"""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from olvf_assets.detection.tables import BOX_PX
from olvf_assets.evaluation.transfer import FILM, StaleTransferError, Tables, film_verdicts, transfer_measures
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.vocabulary import UNNAMED_BODY
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.orchestration.held import data_folder_of
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.reporting.transfer_sheets import write_pictures
from olvf_assets.storage.artifacts import remove, write_atomically

FOLDER = "transfer"  # below data/reports, which `forget` erases
COLLECTIONS = ("institution", "view", "detector", "view_source", "body_part", "body_part_source", "pixel_mm_source")
SHOWN = {  # measure -> how it is called when printed
    "bodies_found_iou30": "bodies found, IoU 0.3",
    "bodies_found_iou50": "bodies found, IoU 0.5",
    "films_four_found": "films with four or more found",
    "films_resolved": "films resolved",
    "films_ambiguous": "films given up as ambiguous",
    "films_nothing_found": "films with nothing found",
    "films_all_right": "films with every level right",
    "films_four_right": "films with four or five right",
    "films_wrong": "films resolved but wrong",
    "films_slid": "  of them on another body",
    "given_up_though_right": "films given up though right",
    "wrong_of_resolved": "wrong, of the resolved",
    "wrong_as_margins_say": "  as their margins say",
    **{f"map50_{level}": f"mAP@0.5 {level}" for level in ("L1", "L2", "L3", "L4", "L5", "all")},
}
WIDTH = 30


class NothingToMeasureError(OlvfError):
    """There is no film that the detector has searched and not learnt from."""


def measure_transfer(
    institutions: Sequence[str], study: StudyResource, *, by: str, pictures: bool, report: Callable[[str], None]
) -> Path:
    """Measure the detector on hospitals, print the table, write it with pictures, and return the folder.

    Films that taught the detector are left out.

    Args:
        institutions: their keys.
        study: whose tables.
        by: the column of `films` that tells collections apart, one of `COLLECTIONS`.
        pictures: write a picture of every film and sheets of the wrong ones.
        report: told of progress, and the table.

    Raises:
        AbsentTableError: the study has not been run.
        NothingToMeasureError: no film of one of them was searched, or all of them taught the detector.
        StaleTransferError: the tables do not belong together.
        DataFolderInUseError: a run is at work.
        DiskFullError, WriteFaultError: the data folder's disk.
    """
    with data_folder_of(study, "measure-transfer", report):
        tables, answers = _tables(institutions, study, report)
        verdicts = film_verdicts(tables, by)
        if missing := sorted(set(institutions) - set(verdicts["institution"])):
            known = ", ".join(sorted(study.table("detected_films")["institution"].unique())) or "none"
            asked = ", ".join(missing)
            raise NothingToMeasureError(f"{asked}: no film to measure on; searched are films of {known}")
        measures = transfer_measures(verdicts, answers, study.profile.evaluation, study.profile.seed)
        folder = study.data / "reports" / FOLDER / "_".join(institutions)
        partial = folder.with_name(f".{folder.name}.partial")
        remove(partial)
        _write(partial, verdicts, measures)
        if pictures:
            shown = verdicts.filter(protocol=study.profile.protocols[0])
            sizes = tables.films.select(*FILM, "image_path", "width_px", "height_px")
            found = tables.detection_candidates.filter(protocol=study.profile.protocols[0]).select("film_id", *BOX_PX)
            write_pictures(shown.join(sizes, on=FILM), _drawn(tables), found, partial, study.store, report)
        with write_faults_named(folder):
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(partial, folder)
    for line in printed(measures, verdicts):
        report(line)
    return folder


def _tables(
    institutions: Sequence[str], study: StudyResource, report: Callable[[str], None]
) -> tuple[Tables, pl.DataFrame]:
    """Return the tables of these hospitals without the films that taught the detector, and its answers."""
    own = {name: study.table(name).filter(pl.col("institution").is_in(institutions)) for name in Tables._fields}
    if "helper_boxes" not in own["drawn_films"].columns:
        raise StaleTransferError("drawn_films is of an earlier version of the program; run the study once more")
    taught = study.table("detector_copies").filter(subset="train").select(FILM).unique()
    left_out = own["films"].join(taught, on=FILM, how="semi").height
    if left_out:
        report(f"{left_out} films taught the detector and are left out")
    own = {name: frame.join(taught, on=FILM, how="anti") for name, frame in own.items()}
    return Tables(**own), study.table("detector_answers")


def _drawn(tables: Tables) -> pl.DataFrame:
    named = tables.reader_boxes.select("film_id", "level", *BOX_PX).rename({"level": "name"})
    others = tables.drawn_films.select("film_id", "helper_boxes").explode("helper_boxes").drop_nulls()
    others = others.unnest("helper_boxes").rename({"vertebra": "name"}).select(named.columns)
    return pl.concat([named, others]).with_columns(pl.col("name").replace(UNNAMED_BODY, ""))


def _write(folder: Path, verdicts: pl.DataFrame, measures: pl.DataFrame) -> None:
    write_atomically(folder / "measures.csv", measures.write_csv)
    write_atomically(folder / "measures.parquet", measures.write_parquet)
    write_atomically(folder / "films.csv", verdicts.drop("named").write_csv)
    write_atomically(folder / "films.parquet", verdicts.write_parquet)


def printed(measures: pl.DataFrame, verdicts: pl.DataFrame) -> list[str]:
    """Return the measures as an aligned table, a column a collection, for each protocol."""
    lines = []
    for (protocol,), part in measures.group_by("protocol", maintain_order=True):
        collections = part["collection"].unique(maintain_order=True).to_list()
        counts = verdicts.filter(protocol=protocol).group_by("collection").len()
        films = dict(counts.iter_rows()) | {"all": int(counts["len"].sum())}
        titles = [f"{each} ({films[each]} films)" for each in collections]
        lines.append("".join([f"{f'protocol {protocol}':32}", *(f"{each:>{WIDTH}}" for each in titles)]))
        cells = {(row["collection"], row["measure"]): row for row in part.iter_rows(named=True)}
        for measure, called in SHOWN.items():
            texts = [_cell(cells.get((each, measure)), films[each]) for each in collections]
            if any(texts):
                lines.append("".join([f"{called:32}", *(f"{each:>{WIDTH}}" for each in texts)]))
    lines.append("[interval over resampled films] (films it is measured on, where not all)")
    lines.append("names of levels are judged on films with four or five levels drawn")
    return lines


def _cell(row: dict[str, float] | None, n_films: int) -> str:
    if row is None or row["value"] is None or row["value"] != row["value"]:
        return ""
    interval = "" if row["ci_low"] != row["ci_low"] else f" [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    measured_on = "" if row["n_films"] == n_films else f" ({row['n_films']})"
    return f"{row['value']:.3f}{interval}{measured_on}"
