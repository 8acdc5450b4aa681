"""Pieces of a file that were never copied.

What lives here: finding zeros that begin and end where disks, CDs and networks begin and end a piece. What does not:
reading pixels (`pixel_data`).

Programs that copy make the file in its full length first, or leave out what they could not read, and a file system
fills the gap with zeros. The header is whole then, and the length right; the picture is black from there on. Zeros of
the picture itself (a shutter, a collimator, a flat part of a compressed picture) do not begin and end at a piece.
"""

from typing import NamedTuple

import numpy as np

PIECE_BYTES = 2048  # a sector of a CD; those of disks and blocks of file systems are multiples of it or made of 4
EDGE_BYTES = 2  # of the piece beside: the last pixel there is no zero


class Hole(NamedTuple):
    """Zeros in the place of what was there; in bytes from the beginning of the file."""

    start: int
    end: int


def first_hole(content: np.ndarray, offset: int, *, row_bytes: int | None = None) -> Hole | None:
    """Return the first hole in the pixel data of a file, None if they are whole.

    Args:
        content: the pixel data, uint8, shape (n_bytes,).
        offset: where they begin in the file, bytes.
        row_bytes: of one row of pixels where they are not compressed. Holes of a row or less are not told from
            black pixels then, nor one that begins with a row.
    """
    skipped = -offset % PIECE_BYTES
    n_pieces = max(0, content.size - skipped) // PIECE_BYTES
    pieces = content[skipped : skipped + n_pieces * PIECE_BYTES].reshape(n_pieces, PIECE_BYTES)
    empty = np.flatnonzero(pieces[:, 0] == 0)
    empty = empty[~pieces[empty].any(axis=1)]
    for run in np.split(empty, np.flatnonzero(np.diff(empty) > 1) + 1):
        if not run.size:
            continue
        start, end = (skipped + int(piece) * PIECE_BYTES for piece in (run[0], run[-1] + 1))
        if not content[end:].any():
            end = content.size
        begins = content[max(0, start - EDGE_BYTES) : start].any()
        ends = end == content.size or content[end : end + EDGE_BYTES].any()
        natural = row_bytes is not None and (end - start <= row_bytes or _near_a_row(start, row_bytes))
        if begins and ends and not natural:
            return Hole(offset + start, offset + end)
    return None


def _near_a_row(start: int, row_bytes: int) -> bool:
    return min(start % row_bytes, -start % row_bytes) <= EDGE_BYTES
