"""The report's pictures of attention, a set per protocol.

What lives here: which there are, their titles and captions, and of which rows. What does not: drawing them, which the
attention room does.
"""

from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.reporting.pictures import Frames, Look, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
MATPLOTLIB_S_OWN: dict[str, object] = {}  # style


@picture(
    title="Where the network looks",
    caption="Grad-CAM of the test set in 6 x 8 sections, by predicted class (thesis, Table 7, Figures 9 and 10). Red "
    "of a JET picture falls where attention is highest, so the raw map is tested beside it; p-values of the thesis's "
    "way take crops of one patient for independent and are too small.",
    section="attention",
    per="protocol",
    style=MATPLOTLIB_S_OWN,
    dots_per_inch=DOTS_PER_INCH,
)
def attention(
    look: Look,
    gradcam_maps: pl.DataFrame,
    gradcam_section_means: pl.DataFrame,
    gradcam_statistics: pl.DataFrame,
    gradcam_boundaries: pl.DataFrame,
    gradcam_examples: pl.DataFrame,
) -> "Figure":
    """Draw mean maps, their profiles, sections that differ with their boundaries, and example crops."""
    from olvf_assets.attention.picture import attention_picture

    return attention_picture(
        gradcam_section_means,
        gradcam_statistics,
        gradcam_boundaries,
        gradcam_examples,
        look.store,
        title=_heading(look, gradcam_maps),
        significance=look.attention.significance,
    )


def maps_on_some_films(
    look: Look, gradcam_maps: pl.DataFrame, vertebra_crops: pl.DataFrame, films: pl.DataFrame
) -> Frames:
    """Return `maps`, those of some films in the order shown, with their places, and `network`, whose maps they are."""
    from olvf_assets.attention.film_picture import crops_on_films, some_films

    placed = crops_on_films(gradcam_maps, vertebra_crops, films)
    some = some_films(placed, look.attention.films, look.seed)
    return {
        "maps": pl.concat([placed.clear(), *some]),
        "network": gradcam_maps.select("protocol", "architecture", "fold").head(1),
    }


@picture(
    title="Maps on whole films",
    caption="Films drawn at random among those with the most levels in the test set. Each level's map is for the class "
    "predicted there, divided by its own maximum, and put back to where its crop was cut.",
    section="attention",
    per="protocol",
    shown=maps_on_some_films,
    style=MATPLOTLIB_S_OWN,
    dots_per_inch=DOTS_PER_INCH,
)
def attention_films(look: Look, maps: pl.DataFrame, network: pl.DataFrame) -> "Figure":
    """Draw some films, each beside itself with the maps of all its levels laid over it."""
    from olvf_assets.attention.film_picture import film_picture

    return film_picture(maps, look.store, title=_heading(look, network))


@picture(
    title="How far the maps can be trusted",
    caption="Left: whether the trained networks look at the same places. Right: whether maps change when what was "
    "learnt is taken away (Adebayo et al. 2018); they should fall to what another image gives.",
    section="attention",
    per="protocol",
    style=MATPLOTLIB_S_OWN,
    dots_per_inch=DOTS_PER_INCH,
)
def attention_trust(
    look: Look, gradcam_maps: pl.DataFrame, gradcam_agreement: pl.DataFrame, gradcam_sanity: pl.DataFrame
) -> "Figure":
    """Draw the rank agreement of each two networks' maps, and of the trained with the randomised network's."""
    from olvf_assets.attention.trust_picture import trust_picture

    return trust_picture(gradcam_agreement, gradcam_sanity, title=_heading(look, gradcam_maps))


def _heading(look: Look, maps: pl.DataFrame) -> str:
    network = maps.row(0, named=True)
    return f"{look.title}: {network['architecture']}, fold {network['fold']}, split {network['protocol']}"
