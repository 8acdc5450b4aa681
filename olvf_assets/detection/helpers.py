"""Vertebrae that are no level of the study, by which the detector learns to count.

What lives here: which of their boxes a detector learns from, under which class, and which films can teach a class at
all. What does not: reading them (room `intake`), the loss (`trainer.py`), counting (`ordering.py`).
"""

import polars as pl

from olvf_assets.detection.tables import BOX, BOX_PX
from olvf_assets.foundation.vocabulary import HELPERS

FILM = ["institution", "film_id"]


def with_helper_boxes(films: pl.DataFrame, drawn_films: pl.DataFrame | None) -> pl.DataFrame:
    """Return the films with `helper_boxes`, in shares of the film's width and height, and the classes they `taught`.

    A film teaches the classes that its hospital draws, present or absent, if one of them is drawn in it: on a film
    without any, nobody says that T12 is not there.

    Args:
        films: columns institution, film_id, width_px, height_px.
        drawn_films: `drawn_films`; None where there are no such boxes.
    """
    none = {"helper_boxes": pl.lit([], pl.List(BOX)), "taught": pl.lit([], pl.List(pl.String))}
    if drawn_films is None:
        return films.with_columns(**none)
    boxes = (
        drawn_films.select(*FILM, "helper_boxes")
        .explode("helper_boxes")
        .drop_nulls()
        .unnest("helper_boxes")
        .join(films.select(*FILM, "width_px", "height_px"), on=FILM)
        .with_columns(level=pl.when(pl.col("vertebra").is_in(HELPERS)).then("vertebra").otherwise(pl.lit("T11")))
        .sort(*FILM, "y0_px")
    )
    corners = [
        (pl.col(px) / pl.col(f"{'width' if name.startswith('x') else 'height'}_px")).clip(0, 1).alias(name)
        for px, name in zip(BOX_PX, ("x0", "y0", "x1", "y1"), strict=True)
    ]
    known = boxes.group_by("institution").agg(taught=pl.col("level").unique().sort())
    own = (
        boxes.select(*FILM, helper_boxes=pl.struct("level", *corners))
        .group_by(FILM, maintain_order=True)
        .agg("helper_boxes")
        .join(known, on="institution")
    )
    found = films.join(own, on=FILM, how="left", maintain_order="left")
    return found.with_columns(pl.col(name).fill_null(value) for name, value in none.items())


def helper_classes(copies: pl.DataFrame) -> list[str]:
    """Return the helper classes that some training picture shows, in the order of the network's outputs."""
    shown = set(copies["helper_boxes"].explode().drop_nulls().struct.field("level"))
    return [name for name in HELPERS if name in shown]
