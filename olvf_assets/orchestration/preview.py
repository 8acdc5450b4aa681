"""What a person is shown of a table: some of its rows, and of a table of pictures a sheet of some of them.

What lives here: the text and the picture, both of bounded size, for they are kept in Dagster's event log. What does
not: when they are shown (`steps`).

Whatever is shown of a patient can be found again: command `forget` searches the event log for pseudonyms and hashes, so
none of them is cut, but for hashes beside a pseudonym, and a sheet of pictures names each of them.
"""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from olvf_assets.storage.traces import ID

if TYPE_CHECKING:
    import numpy as np

Find = Callable[[str], Path]
ROWS = 10
CELL_LETTERS = 40
LARGEST_TEXT, LARGEST_PICTURE = 5_000, 15_000  # bytes of UTF-8, the picture as base64: with both, 20 kB an event
PSEUDONYM = re.compile(r"(?<![0-9A-Za-z])[PF][0-9a-f]{16}(?![0-9a-f])")
HASH = re.compile(r"(?<![0-9a-f])([0-9a-f]{8})[0-9a-f]{56}(?![0-9a-f])")
ID_TEXT = re.compile(ID.pattern.decode())
# What Markdown takes for more than text: a hospital's words must neither break the table nor fetch a picture.
PLAIN = str.maketrans({**{each: f"\\{each}" for each in "\\|[]*~"}, "\n": " ", "\r": " ", "<": "&lt;", "`": "'"})

PICTURES, PICTURES_A_ROW, TILE_PX, LABEL_PX = 8, 4, 96, 12
FEW, TILE_OF_FEW_PX = 2, 192
LARGEST_FILES = 4_000_000  # bytes of all files that a sheet decodes: a film takes 50 ms, a crop none
QUALITIES = (75, 60, 45, 30, 20)  # of the WebP, until it is small enough
LABELS = ("level", "view", "label", "predicted", "subset", "figure")
NAMES = ("sample_id", "crop_id", "film_id")


def spread(frame: pl.DataFrame, n: int = ROWS) -> pl.DataFrame:
    """Return at most `n` rows, evenly spread over a table from its first row on."""
    few = min(n, frame.height)
    return frame[[place * frame.height // few for place in range(few)]] if few else frame


def rows_in_markdown(frame: pl.DataFrame, n: int = ROWS, letters: int = CELL_LETTERS) -> str:
    """Return some rows as a Markdown table, fewer than `n` where they are too long.

    Nested and binary cells are shown by their number of elements, texts longer than `letters` are shortened.
    """
    for count in range(n, 0, -1):
        few = spread(frame, count)
        lines = [_line(frame.columns), _line("---" for _ in frame.columns)]
        lines += [_line(_cells(row, letters)) for row in few.iter_rows()]
        said = "all rows" if few.height == frame.height else f"{few.height} of {frame.height} rows, evenly spread"
        text = "\n".join([*lines, "", said])
        if len(text.encode()) <= LARGEST_TEXT:
            return text
    return f"{frame.height} rows, too long to be shown"


def row_in_words(row: dict[str, Any]) -> str:
    """Return what is known of one row, `column value` after `column value`."""
    known = {name: value for name, value in row.items() if value is not None}
    return ", ".join(f"{name} {cell}" for name, cell in zip(known, _cells(tuple(known.values())), strict=True))


def pictures_in_markdown(frame: pl.DataFrame, columns: tuple[str, ...], find: Find) -> str:
    """Return a sheet of some of a table's pictures as Markdown, with their names; "" where there is none to show.

    Args:
        frame: the table. Its column `boxes`, if it has one, is drawn into the pictures.
        columns: holds the path of a picture; a second one, of a map that is laid over it in red.
        find: returns where the picture of a path lies.
    """
    rows = list(_decodable(spread(frame.drop_nulls(columns[0]), PICTURES), columns[0], find))
    side = TILE_OF_FEW_PX if len(rows) <= FEW else TILE_PX
    tiles = [tile for row in rows if (tile := _tile(row, columns, find, side)) is not None]
    if not tiles:
        return ""
    names = [str(next((row[each] for each in NAMES if row.get(each)), row[columns[0]])) for row in rows]
    return f"![pictures](data:image/webp;base64,{_encoded(_sheet(tiles))})\n\n{', '.join(names)}"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: tuple[Any, ...], letters: int = CELL_LETTERS) -> list[str]:
    texts = [_text(value) for value in row]
    if any(PSEUDONYM.search(text) for text in texts):
        texts = [HASH.sub(r"\1…", text) for text in texts]
    return [_cut(text, letters).translate(PLAIN) for text in texts]


def _text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.5g}"
        case list() | dict():
            return f"{len(value)} elements"
        case bytes():
            return f"{len(value)} bytes"
        case _:
            return str(value)


def _cut(text: str, end: int) -> str:
    """Shorten a text, but no pseudonym or hash in it: one is either there as a whole or not at all."""
    inside = (found.end() for found in ID_TEXT.finditer(text) if found.start() < end < found.end())
    end = next(inside, end)
    return text if end >= len(text) else text[:end] + "…"


def _decodable(few: pl.DataFrame, column: str, find: Find) -> Iterator[dict[str, Any]]:
    """Yield the rows whose pictures are there, as many as can be decoded in a moment, at least one."""
    total = 0
    for row in few.iter_rows(named=True):
        path = find(row[column])
        size = path.stat().st_size if path.is_file() else None
        if size is None or (total and total + size > LARGEST_FILES):
            continue
        total += size
        yield row


def _tile(row: dict[str, Any], columns: tuple[str, ...], find: Find, side: int) -> "np.ndarray | None":
    """Return one picture with its label: uint8 (side + LABEL_PX, side, 3), BGR; None if it cannot be decoded."""
    import cv2
    import numpy as np

    colours = _read(find(row[columns[0]]))
    if colours is None:
        return None
    height, width = colours.shape[:2]
    scale = side / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    colours = _coloured(cv2.resize(colours, size, interpolation=cv2.INTER_AREA))
    for column in columns[1:]:
        above = _read(find(row[column])) if row[column] is not None else None
        if above is not None:
            above = _coloured(cv2.resize(above, size, interpolation=cv2.INTER_AREA))
            colours[..., 2] = np.maximum(colours[..., 2], above[..., 2])
    for box in row.get("boxes") or []:
        first, last = ((round(box[f"x{end}"] * size[0]), round(box[f"y{end}"] * size[1])) for end in (0, 1))
        cv2.rectangle(colours, first, last, (0, 220, 255), 1)
    tile = np.zeros((side + LABEL_PX, side, 3), np.uint8)
    left = (side - size[0]) // 2
    tile[: size[1], left : left + size[0]] = colours
    label = " ".join(str(row[each]) for each in LABELS if row.get(each))
    cv2.putText(tile, label[:18], (2, side + LABEL_PX - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (255, 255, 255), 1)
    return tile


def _read(path: Path) -> "np.ndarray | None":
    """Return a picture as uint8 (height_px, width_px) or with a last axis of 3 or 4; None for what is no picture."""
    import cv2
    import numpy as np

    content = np.fromfile(path, np.uint8) if path.is_file() else np.zeros(0, np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None


def _coloured(pixels: "np.ndarray") -> "np.ndarray":
    """Return a picture, grey or coloured, as uint8 (height_px, width_px, 3), BGR."""
    import cv2

    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 else pixels[..., :3].copy()


def _sheet(tiles: "list[np.ndarray]") -> "np.ndarray":
    """Return the tiles side by side in rows: uint8 (height_px, width_px, 3)."""
    import numpy as np

    across = min(len(tiles), PICTURES_A_ROW)
    black = [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    rows = [np.hstack((tiles + black)[start : start + across]) for start in range(0, len(tiles), across)]
    return np.vstack(rows)


def _encoded(sheet: "np.ndarray") -> str:
    """Return a picture as WebP in base64, as good as fits, halved until it does."""
    import cv2

    for quality in QUALITIES:
        _, content = cv2.imencode(".webp", sheet, [cv2.IMWRITE_WEBP_QUALITY, quality])
        text = base64.b64encode(content.tobytes()).decode()
        if len(text) <= LARGEST_PICTURE:
            return text
    return _encoded(cv2.resize(sheet, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
