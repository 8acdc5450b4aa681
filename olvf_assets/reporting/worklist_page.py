"""A hospital's films to look at: one page that needs no server, with its pictures beside it.

What lives here: pictures for the page (films in two sizes, maps in colour), the data that it shows, the folder. What
does not: which vertebrae and in what order (`worklist.py`), how the page behaves (`worklist.html.jinja`).

Pictures are named by the hash of what they were made of, so one that is there is never out of date; the page is written
last.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.foundation.engine import BESIDE_THE_DATA
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.provenance import file_sha256
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS
from olvf_assets.reporting.drawing import readable
from olvf_assets.reporting.tables import WORKLIST_PAGES
from olvf_assets.storage.artifacts import ArtifactStore, remove, write_atomically

FOLDER, PAGE, TEMPLATE = "worklists", "index.html", "worklist.html.jinja"
SIDES_PX = {"thumbs": 320, "films": 1400}  # the longer side of a film's picture on the page, and when it is opened
JPEG_QUALITY = 82
FILMS_PER_PROCESS = 24  # fewer are drawn in this process: starting others takes about as long
FILM = ["institution", "film_id"]
CLASS_COLOURS = {"normal": "#4db2ff", "old": "#ffb347", "fresh": "#ff6fae"}  # on black films, lighter than in print


def worklist_page(
    institution: str,
    worklist: pl.DataFrame,
    films: pl.DataFrame,
    detected_films: pl.DataFrame,
    store: ArtifactStore,
    reports: Path,
    *,
    protocol: str,
    made_up: bool,
    external: bool,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Write the page of a hospital, and return its row of `worklist_pages`; none where there is nothing to look at.

    Args:
        institution: its key.
        worklist: `worklist` of it.
        films: `films` of it.
        detected_films: `detected_films` of it: why a film has no levels.
        store: where films and maps lie.
        reports: the report's folder; the page goes to `worklists/<institution>/index.html` in it.
        protocol: the one that is shown.
        made_up: whether the films are synthetic.
        external: whether the hospital is external: all of its films are shown. Of others, those that were judged.
        report: gets progress lines.

    Raises:
        DamagedPictureError: a picture that a table names is not there.
        DiskFullError, WriteFaultError: the disk, or this user's rights.
    """
    folder = reports / FOLDER / institution
    rows = worklist.filter(protocol=protocol)
    states = dict(detected_films.filter(protocol=protocol).select("film_id", "state").iter_rows())
    if not external:
        films = films.join(rows, on="film_id", how="semi")
    if films.is_empty():
        remove(folder)
        return pl.DataFrame(schema=WORKLIST_PAGES)
    shown = films.sort("film_id").select(
        "film_id", "patient_id", "view", "view_doubt", "image_path", "width_px", "height_px"
    )
    of_film: dict[str, list[dict[str, Any]]] = {}
    for row in rows.sort("film_id", "level").iter_rows(named=True):
        of_film.setdefault(row["film_id"], []).append(row)
    jobs = [(film["image_path"], [crop for crop in of_film.get(film["film_id"], ()) if crop["map_path"]])
            for film in shown.iter_rows(named=True)]  # fmt: skip
    todo = [job for job in jobs if not all((folder / name).is_file() for name in _pictures(job))]
    draw = partial(_draw, store=store, folder=folder)
    workers = 0 if len(todo) >= FILMS_PER_PROCESS else 1
    what = "films of the worklist drawn"
    parallel_map(draw, todo, workers=workers, needs=BESIDE_THE_DATA, what=what, report=report)
    data = [_film(film, states, of_film.get(film["film_id"], [])) for film in shown.iter_rows(named=True)]
    text = _page(institution, data, protocol, made_up)
    write_atomically(folder / PAGE, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    _remove_others(folder, {PAGE, *(name for job in jobs for name in _pictures(job))})
    row = {
        "institution": institution,
        "path": f"{FOLDER}/{institution}/{PAGE}",
        "sha256": file_sha256(folder / PAGE),
        "n_films": len(data),
        "n_films_judged": len(of_film),
        "n_vertebrae": rows.height,
        "n_predicted_fresh": rows.filter(predicted="fresh").height,
    }
    return pl.DataFrame([row], schema=WORKLIST_PAGES)


def page_files(reports: Path, institution: str) -> list[Path]:
    """Return the page of a hospital and its pictures, as they lie in the report's folder."""
    return [path for path in sorted((reports / FOLDER / institution).rglob("*")) if path.is_file()]


def _film(film: dict[str, Any], states: dict[str, str], crops: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the page knows of a film; shares of its width and height, so that no size matters there."""
    across, down = film["width_px"], film["height_px"]
    vertebrae = [
        {
            "level": crop["level"],
            "p": [round(crop[f"p_{name}"], 4) for name in CLASSES],
            "predicted": crop["predicted"],
            "doubt": round(crop["doubt"], 4),
            "networks": crop["n_networks_of_predicted"],
            "folds": crop["n_folds_call_fresh"],
            "label": crop["label"],
            "box": [
                round(crop[name] / size, 5)
                for name, size in (("x0_px", across), ("y0_px", down), ("x1_px", across), ("y1_px", down))
            ],
            "map": _map_name(crop) if crop["map_path"] else None,
        }
        for crop in crops
    ]
    state = states.get(film["film_id"], "not_searched")
    if not vertebrae and state == "resolved":
        state = "excluded"
    names = {size: _film_name(size, film["image_path"]) for size in SIDES_PX}
    about = {"film": film["film_id"], "patient": film["patient_id"], "view": film["view"], "state": state}
    about["header"] = film["view_doubt"]  # the picture says otherwise
    return about | names | {"aspect": round(across / down, 5), "vertebrae": vertebrae}


def _page(institution: str, films: list[dict[str, Any]], protocol: str, made_up: bool) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE).render(
        name=readable(institution),
        films=films,
        protocol=protocol,
        made_up=made_up,
        colours=CLASS_COLOURS,
        classes=CLASSES,
        levels=LEVELS,
    )


def _film_name(size: str, image_path: str) -> str:
    return f"{size}/{Path(image_path).stem[:24]}.jpg"


def _map_name(crop: dict[str, Any]) -> str:
    return f"maps/{Path(crop['map_path']).stem[:16]}-{Path(crop['image_path']).stem[:16]}.png"


def _pictures(job: tuple[str, list[dict[str, Any]]]) -> list[str]:
    image_path, crops = job
    return [*(_film_name(size, image_path) for size in SIDES_PX), *(_map_name(crop) for crop in crops)]


def _draw(job: tuple[str, list[dict[str, Any]]], store: ArtifactStore, folder: Path) -> None:
    """Write the pictures of one film: itself in both sizes, and the map of each vertebra, see-through where it is 0."""
    import cv2
    import numpy as np

    from olvf_assets.attention.colours import JET

    image_path, crops = job
    film = store.load_image(image_path)
    for size, side_px in SIDES_PX.items():
        scale = min(side_px / max(film.shape), 1)
        small = cv2.resize(film, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else film
        _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        write_atomically(folder / _film_name(size, image_path), encoded.tofile)
    for crop in crops:
        left, top = crop["pad_left_px"], crop["pad_top_px"]
        width, height = (
            max(round((crop[f"{axis}1_px"] - crop[f"{axis}0_px"]) * crop["scale"]), 1) for axis in ("x", "y")
        )
        levels = store.load_image(crop["map_path"])[top : top + height, left : left + width]
        coloured = np.dstack([JET[levels][..., ::-1], (levels * 0.6).astype(np.uint8)])
        _, encoded = cv2.imencode(".png", coloured)
        write_atomically(folder / _map_name(crop), encoded.tofile)


def _remove_others(folder: Path, names: set[str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in names:
            remove(path)
