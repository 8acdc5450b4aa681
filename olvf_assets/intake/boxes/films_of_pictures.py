"""Which film a labelled picture shows.

What lives here: the names that a film may be drawn under, and finding the film of a picture by them. What does not: the
boxes (`boxes.boxes`), how box files are written (`boxes.formats`), writing drafts (room `detection`).
"""

import re
import unicodedata
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

import polars as pl

from olvf_assets.intake.boxes.formats import Picture
from olvf_assets.intake.landing.box_names import BOX_FOLDERS
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser

# Folders that labelling programs and this landing folder make themselves: they tell no patients apart.
NAMELESS_FOLDERS = BOX_FOLDERS | {"films", "images", "img", "pictures", "train", "val", "valid", "test", "png", "jpg"}
# A picture of a draft: its place in the order of doubt, and the film that it shows. Programs put words of their own
# before (Label Studio) and behind it (Roboflow), and some write small letters.
DRAFT = re.compile(r"(?<![0-9a-z])\d{4,}_f([0-9a-f]{16})(?![0-9a-z])", re.IGNORECASE)


class Film(NamedTuple):
    """A film that boxes may be drawn on, accepted or refused."""

    film_id: str
    width_px: int
    height_px: int
    refusal: str | None
    folders: tuple[str, ...]  # that it lies in, of those that may tell patients apart


class NoFilm(NamedTuple):
    """Why a picture shows no film that boxes are taken in for."""

    reason: str
    detail: str


def films_by_name(headers: pl.DataFrame, pixels: pl.DataFrame, real: Callable[[str], str]) -> dict[str, list[Film]]:
    """Return the films by file name, by file name without ending, by both in small letters, and by pseudonym."""
    undecoded = dict(pixels.filter(pl.col("refusal").is_not_null()).select("path", "refusal").iter_rows())
    films: dict[str, list[Film]] = {}
    for row in headers.iter_rows(named=True):
        path = PurePosixPath(real(row["path"]))
        refusal = row["refusal"] or undecoded.get(row["path"])
        film = Film(row["film_id"], row["columns"], row["rows"], refusal, _telling_folders(path))
        name = path.name
        for key in {name, _stem(name), _folded(name), _folded(_stem(name)), row["film_id"]}:
            films.setdefault(key, []).append(film)
    return films


def _stem(name: str) -> str:
    """Return a file name without its ending; a name that is a UID has none."""
    suffix = PurePosixPath(name).suffix
    return name if suffix[1:].isdigit() else name.removesuffix(suffix)


def _folded(name: str) -> str:
    """Return a file name in small letters of one Unicode form: programs of two systems write it differently."""
    return unicodedata.normalize("NFC", name).casefold()


def drafted_film(name: str) -> str | None:
    """Return the film that a draft of this file name shows (see room `detection`); None if it is no draft's name."""
    draft = DRAFT.search(name)
    return None if draft is None else f"F{draft[1].lower()}"


def _telling_folders(path: PurePosixPath) -> tuple[str, ...]:
    folders = [_folded(part) for part in path.parts[:-1]]
    return tuple(part for part in folders if part not in NAMELESS_FOLDERS)


def place_of(picture: Picture, box_file: str) -> PurePosixPath:
    """Return the path that stands for a picture: the box file's, or the name in it below the box file's folders."""
    return PurePosixPath(box_file).parent / picture.name.lstrip("/") if picture.name else PurePosixPath(box_file)


def film_of(films: dict[str, list[Film]], place: PurePosixPath, names: Pseudonymiser) -> Film | NoFilm:
    """Return the film that a picture shows, or why there is none."""
    stem = _stem(place.name)
    candidates = films.get(drafted_film(place.name) or "", [])
    if not candidates:
        candidates = films.get(stem) or films.get(_folded(stem)) or films.get(names.film(stem)) or []
        candidates = _in_same_folders(candidates, _telling_folders(place), films)
    accepted = [film for film in candidates if film.refusal is None]
    if len(accepted) == 1:
        return accepted[0]
    if len(accepted) > 1:
        what = (
            f"{len(accepted)} films have this file name and the folders do not tell which; give box files the folders "
            "of their films, or name the boxes by SOPInstanceUID"
        )
        return NoFilm("box_of_several_films", what)
    if candidates:
        return NoFilm("box_of_refused_film", f"its film was refused: {candidates[0].refusal}")
    what = "no film has this file name or SOPInstanceUID; name the box file like its .dcm file"
    return NoFilm("box_without_film", what)


def _in_same_folders(candidates: list[Film], folders: tuple[str, ...], films: dict[str, list[Film]]) -> list[Film]:
    """Return the films that lie in the box's folders, if its folders are those of films; else all of them.

    A box in folder A is not about a film of that name in folder B, even if A has no such film.
    """
    if not folders:
        return candidates
    if equal := [film for film in candidates if film.folders == folders]:
        return equal
    if below := [film for film in candidates if film.folders and _ends_alike(film.folders, folders)]:
        return below
    known = any(film.folders and _ends_alike(film.folders, folders) for same in films.values() for film in same)
    return [] if known else candidates


def _ends_alike(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    shorter = min(len(left), len(right))
    return left[-shorter:] == right[-shorter:]
