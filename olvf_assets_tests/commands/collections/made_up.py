"""Downloads of public collections, made up: pictures of grey blocks, and what each collection writes beside them."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from olvf_assets.commands.collections.importing import KINDS, Asked, Imported, import_collection
from olvf_assets.commands.collections.planned import Options
from olvf_assets.intake.boxes.boxes import DrawnBoxes, drawn_boxes
from olvf_assets.intake.headers.headers import dicom_headers
from olvf_assets.intake.landing.landing import landing_manifest
from olvf_assets.intake.pixels.pixels import film_pixels
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheets.sheets import subjects
from olvf_assets.storage.artifacts import ArtifactStore

WIDTH, HEIGHT = 240, 400
NAMES = Pseudonymiser("hospital", b"0123456789abcdef0123456789abcdef", synthetic=False)
# Upper and lower edges, anterior point first, of five bodies and S1; label last.
ROWS = [
    line
    for body in range(5)
    for line in (
        (80.5 + 3 * body, 60.0 + 60 * body, 150.0, 64.25 + 60 * body, 0),
        (78.0 + 3 * body, 100.0 + 60 * body, 152.0, 103.5 + 60 * body, 0),
    )
] + [(95.0, 360.0, 150.0, 372.0, 1)]
BODIES = [(78.0 + 3 * body, 60.0 + 60 * body, 152.0, 103.5 + 60 * body) for body in range(5)]


def grey(name: str, width: int = WIDTH, height: int = HEIGHT, kind: type[np.unsignedinteger] = np.uint8) -> np.ndarray:
    """Return a picture of random blocks that depends on its name alone."""
    rng = np.random.default_rng(sum(ord(letter) * 131**place for place, letter in enumerate(name)) % 2**63)
    blocks = rng.integers(0, np.iinfo(kind).max, (height // 20, width // 20))
    return np.kron(blocks, np.ones((20, 20))).astype(kind)


def encoded(image: Image.Image, ending: str, **options: object) -> bytes:
    """Return a picture file."""
    buffer = BytesIO()
    image.save(buffer, ending, **options)
    return buffer.getvalue()


def png(name: str, **size: int) -> bytes:
    """Return a grey PNG file of `grey`."""
    return encoded(Image.fromarray(grey(name, **size)), "PNG")


def csv_text(rows: list[tuple[float, ...]] = ROWS, end: str = "\n") -> str:
    """Return rows as BUU-LSPINE writes them."""
    return "".join(",".join(map(str, row)) + end for row in rows)


def write(root: Path, files: dict[str, bytes | str]) -> Path:
    """Write files below a folder and return it."""
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def mendeley_text(boxes: list[tuple[float, float, float, float]]) -> str:
    """Return the set's JSON of bodies with box and four corners."""
    corners = [[[x0, y0, 1], [x1, y0, 1], [x0, y1, 1], [x1, y1, 1]] for x0, y0, x1, y1 in boxes]
    return json.dumps(
        {"boxes": [list(map(float, box)) for box in boxes], "keypoints": corners, "labels": [1] * len(boxes)}
    )


def imported(
    kind: str,
    source: Path,
    target: Path,
    options: Options | None = None,
    apart_from: tuple[Path, ...] = (),
    report: Callable[[str], None] = lambda line: None,
) -> Imported:
    """Import a download."""
    asked = Asked(
        KINDS[kind], source, target, "A collection", "external", "some terms", options or Options(), apart_from
    )
    return import_collection(asked, report)


class TakenIn:
    """What intake makes of an imported folder.

    Attributes:
        headers, pixels, subjects: tables; `drawn`: the tables of boxes.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        settings = IntakeSettings()
        manifest = landing_manifest(folder, "hospital", 1)
        self.subjects = subjects(folder, NAMES, settings)
        known = set(self.subjects["patient_id"]) or None
        self.headers: pl.DataFrame = dicom_headers(folder, manifest, known, NAMES, settings)
        self.pixels = film_pixels(folder, self.headers, ArtifactStore(root / "lake"), NAMES, settings, workers=1)
        self.drawn: DrawnBoxes = drawn_boxes(
            folder, manifest, self.headers, self.pixels, names=NAMES, settings=settings
        )

    def boxes(self) -> dict[str, list[tuple[float, ...]]]:
        """Return the corners of each level, over all films in the order of their ids."""
        found: dict[str, list[tuple[float, ...]]] = {}
        for _, level, *corners in self.drawn.reader_boxes.select(
            "film_id", "level", "x0_px", "y0_px", "x1_px", "y1_px"
        ).rows():
            found.setdefault(level, []).append(tuple(corners))
        return found
