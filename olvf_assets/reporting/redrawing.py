"""Which pictures of a report must be drawn again.

What lives here: the floor's one rule (`foundation/made.py`) applied to each picture, and the files in the report's
folder. What does not: the rule, what a picture shows, the page.

A picture is made of the frames that it shows, of the code and libraries behind its drawing function, and of the
settings that this read. While all of this is as it was, and its files are those that were drawn, it stands. The record
is written after the files: what a killed run leaves is drawn again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from olvf_assets.foundation.code_identity import Made, codes_of_functions
from olvf_assets.foundation.engine import BESIDE_THE_DATA
from olvf_assets.foundation.made import Basis, Ingredients, Record, changes, first_reasons, frame_digest, text_digest
from olvf_assets.foundation.parallel import available_cores, parallel_map
from olvf_assets.foundation.provenance import ABSENT, file_sha256
from olvf_assets.foundation.settings import note_read, settings_read
from olvf_assets.foundation.tables import TableRun
from olvf_assets.reporting import drawing
from olvf_assets.reporting.pictures import Frames, Look, Member, Picture, Section
from olvf_assets.storage.artifacts import read_if_whole
from olvf_assets.storage.records import Records

RECORDS = "report_pictures"  # beside those of tables
SUFFIXES = (".png", ".svg")
LEAST_PER_WORKER = 3  # pictures; starting a process takes as long as drawing one


@dataclass(frozen=True)
class Shown:
    """A picture as it lies in the report's folder.

    Attributes:
        name: file name without ending.
        title: heading above it.
        caption: what is to be seen, in a sentence or two.
        section: of the page.
        files: {name: sha256}, the PNG file first.
        drawn: whether it was drawn now, or stands from before.
    """

    name: str
    title: str
    caption: str
    section: Section
    files: Mapping[str, str]
    drawn: bool


@dataclass(frozen=True)
class _Planned:
    """A picture of the report with all that it is drawn of, fit to be handed to another process.

    Attributes:
        picture: its declaration.
        member: which of the family.
        frames: what is drawn.
        now: what it is made of.
        run: the run of the table `report_figures`, without what ties it to this process.
        folder: where it is drawn to.
        record: what it was made of when it was drawn last, if it ever was.
        reasons: why it cannot stand; none: it stands.
    """

    picture: Picture
    member: Member
    frames: Frames
    now: Ingredients
    run: TableRun
    folder: Path
    record: Record | None
    reasons: Sequence[str]

    @property
    def files(self) -> dict[str, str]:
        """Return the digest of each of its files as they lie there."""
        return _hashes(self.folder, self.picture.files(self.member))


def pictures_of(
    pictures: Sequence[Picture], tables: Mapping[str, pl.DataFrame], run: TableRun, folder: Path, *, workers: int = 1
) -> list[Shown]:
    """Return every picture, each drawn into `folder` unless it stands there.

    Args:
        pictures: what is declared.
        tables: all that they read; rows of all institutions and protocols.
        run: the run of the table `report_figures`.
        folder: made if missing; a file is replaced as a whole.
        workers: processes that draw; 0 means one per core, fewer where there is little to draw. More than one draw
            pictures only that a module declares at its top.
    """
    saving, *drawing_it = codes_of_functions([_draw, *(each.draw for each in pictures)])
    planned = [
        _planned(each, member, run, folder, own | saving)
        for each, own in zip(pictures, drawing_it, strict=True)
        for member in each.members(tables)
    ]
    due = [each for each in planned if each.reasons]
    for each in due:
        run.report(f"{each.member.name} is drawn: {first_reasons(each.reasons)}")
    processes = max(1, min(workers or available_cores(), len(due) // LEAST_PER_WORKER))
    rests_on = parallel_map(
        _drawn_and_kept, due, workers=processes, needs=BESIDE_THE_DATA, what="pictures drawn", report=run.report
    )
    rests_on += [each.record.basis.settings for each in planned if each.record is not None and not each.reasons]
    for settings in rests_on:  # the table rests on them, whether they are read now or were before, here or elsewhere
        note_read(run.profile, settings)
    return [
        Shown(
            each.member.name, each.member.title, each.picture.caption, each.picture.section, each.files,
            drawn=bool(each.reasons),
        )
        for each in planned
    ]  # fmt: skip


def remove_others(shown: Sequence[Shown], run: TableRun, folder: Path) -> None:
    """Remove from `folder` the pictures that the report has no more, and forget them."""
    files = {name for each in shown for name in each.files}
    for path in folder.iterdir():
        if path.suffix in SUFFIXES and path.name not in files and path.is_file():
            path.unlink()
    records = Records(run.store)
    for part in set(records.parts(RECORDS)) - {each.name for each in shown}:
        records.forget(RECORDS, part)


def _planned(picture: Picture, member: Member, run: TableRun, folder: Path, code: Made) -> _Planned:
    frames = picture.frames(Look(run, member.title), member)
    now = _ingredients(member, frames, code)
    record = Records(run.store).find(RECORDS, member.name)
    reasons = list(_reasons(record, now, run, folder, picture.files(member)))
    return _Planned(picture, member, frames, now, TableRun(run.profile, run.store, run.data), folder, record, reasons)


def _drawn_and_kept(due: _Planned) -> dict[str, str]:
    """Draw a picture, keep its record, and return the settings that it was drawn with."""
    look = Look(due.run, due.member.title)
    with settings_read(due.run.profile) as read:
        _draw(due.picture, look, due.frames, [due.folder / name for name in due.files])
    drawn, settings = text_digest(due.files), read.digests()
    record = Record(Basis(due.now, settings), None, drawn, drawn, drawn)
    Records(due.run.store).keep(RECORDS, due.member.name, record)
    return settings


def _reasons(
    record: Record | None, now: Ingredients, run: TableRun, folder: Path, names: Sequence[str]
) -> Iterator[str]:
    """Yield, in words, why a picture cannot stand."""
    if record is None:
        yield "it never was"
        return
    if run.forced:
        yield "somebody asked for it"
    yield from changes(record.basis, now, run.profile, lambda name: "")
    if text_digest(_hashes(folder, names)) != record.files:
        yield "its file is missing or another"


def _ingredients(member: Member, frames: Frames, code: Made) -> Ingredients:
    return Ingredients(
        code.digests,
        code.libraries,
        {name: frame_digest(frame.with_row_index("the place of a row")) for name, frame in frames.items()},
        {"its name and title": text_digest([member.name, member.title])},
    )


def _draw(picture: Picture, look: Look, frames: Frames, paths: Sequence[Path]) -> None:
    """Draw a picture into its files."""
    dots_per_inch = picture.dots_per_inch or look.settings.dots_per_inch
    with drawing.styled(picture.style):
        figure = picture.draw(look, **frames)
        for path in paths:
            drawing.save(figure, path, dots_per_inch)


def _hashes(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the digest of each file's content; `absent` for one that is not there."""
    return {name: read_if_whole(folder / name, file_sha256) or ABSENT for name in names}
