"""A hospital of two small films with drafts of their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from olvf_assets.detection.drafts.corrections import draft_corrections
from olvf_assets.detection.drafts.label_files import LABEL_FORMATS, LabelFormat
from olvf_assets.detection.drafts.proposals import Draft, DraftBox
from olvf_assets.detection.drafts.remembered import remember, remembered
from olvf_assets.detection.drafts.written import named, write_drafts
from olvf_assets.intake.boxes.boxes import DrawnBoxes
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import COLUMNS, NAMES, ROWS, boxes, film, hospital, pixels

ONE, TWO = (NAMES.film(film(name).SOPInstanceUID) for name in ("one", "two"))
BOXES = (DraftBox("L1", 3, 2, 11, 8), DraftBox("L2", 3, 9, 13, 17), DraftBox("L4", 5, 30, 30, 40))


def draft(film_id: str, image_path: str, *drawn: DraftBox, detector: str = "a" * 64) -> Draft:
    state = "resolved" if drawn else "nothing_found"
    return Draft(film_id, image_path, COLUMNS, ROWS, state, drawn, None, None, "for a test", detector)


@dataclass
class Drafted:
    """A landing folder, its pictures, and a folder of drafts: film one has three boxes, film two none."""

    root: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.landing = hospital(self.root)
        self.store = ArtifactStore(self.root / "lake")
        decoded = dict(pixels(self.landing, self.root).select("film_id", "image_path").iter_rows())
        self.drafts = [draft(TWO, decoded[TWO]), draft(ONE, decoded[ONE], *BOXES)]
        self.out = self.root / "drafts"

    def write(self, formats: Sequence[LabelFormat] = LABEL_FORMATS) -> bool:
        return write_drafts(
            named(self.drafts),
            self.out,
            formats,
            self.store,
            institution="institution_1",
            boxes_folder=self.landing / "boxes",
            before_in_place=lambda: remember(self.store, "institution_1", self.drafts),
            report=self.said.append,
        )

    def drawn(self) -> DrawnBoxes:
        return boxes(self.landing, self.root)

    def corrections(self) -> pl.DataFrame:
        found = self.drawn()
        known = remembered(self.store, "institution_1")
        return draft_corrections("institution_1", known, found.drawn_films, found.reader_boxes)
