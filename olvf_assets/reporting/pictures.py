"""What a picture of the report is, before it is drawn.

What lives here: `picture`, the decorator of every drawing function, and `Look`, what such a function may look at beside
its tables. What does not: which pictures there are (each is declared where it is drawn), whether one must be drawn
again (`redrawing.py`), the page (`page.py`).
"""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.foundation.tables import TableRun
from olvf_assets.reporting.drawing import STYLE, readable
from olvf_assets.reporting.settings import ReportingSettings
from olvf_assets.storage.artifacts import ArtifactStore

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

Section = Literal["metrics", "detector", "readers", "flow", "attention", "comparison"]
Frames = dict[str, pl.DataFrame]


class Look:
    """What a drawing function may look at beside its tables.

    Args:
        run: the run of the table `report_figures`.
        title: heading of the picture on the page.
    """

    def __init__(self, run: TableRun, title: str = "") -> None:
        self._run, self.title = run, title

    @property
    def settings(self) -> ReportingSettings:
        """Return sizes and resolution."""
        return self._run.profile.reporting

    @property
    def attention(self) -> AttentionSettings:
        """Return the settings of the attention room."""
        return self._run.profile.attention

    @property
    def seed(self) -> int:
        """Return the profile's seed, for the choice of what is shown."""
        return self._run.seed

    @property
    def store(self) -> ArtifactStore:
        """Return where the pictures lie that tables name."""
        return self._run.store

    def load_image(self, path: str) -> "np.ndarray":
        """Return the uint8 picture (height_px, width_px) that a column such as `image_path` names by its content."""
        return self.store.load_image(path)


@dataclass(frozen=True)
class Member:
    """One picture of a declaration, with what is drawn in it.

    Attributes:
        name: its file name without ending.
        title: heading above it.
        tables: the tables that the declaration reads; of a family, this member's rows.
    """

    name: str
    title: str
    tables: Frames


@dataclass(frozen=True)
class Picture:
    """A declared picture, or a family of them: one for each institution or protocol.

    Attributes:
        name: the function's name, which the files bear.
        draw: `draw(look, **tables)` returns the figure.
        title: heading above it; `{key}` stands for the member of a family.
        caption: what is to be seen, in a sentence or two.
        section: of the page.
        reads: the tables that it needs, as named in the signature of `draw`, or of `shown` where there is one.
        per: the column that tells a family's members apart; each is drawn of its own rows alone.
        shown: picks from the tables what is drawn, so that nothing else of them counts.
        style: matplotlib's settings.
        dots_per_inch: its resolution; None: the profile's.
        vector: whether it is written as SVG, too.
    """

    name: str
    draw: "Callable[..., Figure]"
    title: str
    caption: str
    section: Section
    reads: tuple[str, ...]
    per: Literal["institution", "protocol"] | None
    shown: Callable[..., Frames] | None
    style: Mapping[str, Any]
    dots_per_inch: int | None
    vector: bool

    def __reduce__(self) -> "tuple[Callable[[str, str], Picture], tuple[str, str]]":
        """Travel to another process by name: what a decorator gave its name to, Python does not find by itself."""
        return _declared, (self.draw.__module__, self.name)

    def members(self, tables: Mapping[str, pl.DataFrame]) -> Iterator[Member]:
        """Yield what is to be drawn, sorted; of a family, one for each value that its first table holds.

        The first protocol's picture bears the plain name, those of others and of institutions name whose they are.

        Args:
            tables: at least those that it reads; rows of all institutions and protocols.
        """
        own = {name: tables[name] for name in self.reads}
        if self.per is None:
            yield Member(self.name, self.title, own)
            return
        for number, key in enumerate(own[self.reads[0]][self.per].unique().sort()):
            of_key = {name: frame.filter(**{self.per: key}) if self.per in frame.columns else frame
                      for name, frame in own.items()}  # fmt: skip
            plain = self.per == "protocol" and number == 0
            yield Member(self.name if plain else f"{self.name}_{key}", self.title.format(key=readable(key)), of_key)

    def frames(self, look: Look, member: Member) -> Frames:
        """Return what of a member's tables is drawn."""
        return member.tables if self.shown is None else self.shown(look, **member.tables)

    def files(self, member: Member) -> tuple[str, ...]:
        """Return the names of a member's files."""
        return (f"{member.name}.png", f"{member.name}.svg") if self.vector else (f"{member.name}.png",)


def picture(
    *,
    title: str,
    caption: str,
    section: Section,
    per: Literal["institution", "protocol"] | None = None,
    shown: Callable[..., Frames] | None = None,
    style: Mapping[str, Any] = STYLE,
    dots_per_inch: int | None = None,
    vector: bool = False,
) -> "Callable[[Callable[..., Figure]], Picture]":
    """Declare a picture by the function that draws it: `def name(look, table_a, table_b) -> Figure`.

    Where `shown` is given, it takes the tables in its stead, `def shown(look, table_a, table_b)`, and returns by name
    the frames that the drawing function takes.
    """

    def declare(draw: "Callable[..., Figure]") -> Picture:
        return Picture(
            draw.__name__, draw, title, caption, section, tables_read(shown or draw), per, shown, style,
            dots_per_inch, vector,
        )  # fmt: skip

    return declare


def _declared(module: str, name: str) -> Picture:
    found: Picture = getattr(importlib.import_module(module), name)
    return found


def tables_read(function: Callable[..., object]) -> tuple[str, ...]:
    """Return the names of a function's parameters that are tables."""
    parameters = inspect.signature(function).parameters
    return tuple(name for name, each in parameters.items() if each.annotation is pl.DataFrame)
