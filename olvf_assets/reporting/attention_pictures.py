"""The report's pictures of attention.

What lives here: which there are, one set per protocol, their titles and captions. What does not: drawing them, which
the attention room does from its own tables.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from olvf_assets.attention.film_picture import crops_on_films, film_picture
from olvf_assets.attention.picture import attention_picture
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.trust_picture import trust_picture
from olvf_assets.reporting.gallery import Picture
from olvf_assets.storage.artifacts import ArtifactStore

CAPTIONS = {
    "attention": (
        "Where the network looks",
        "Grad-CAM of the test set in 6 x 8 sections, by predicted class (thesis, Table 7, Figures 9 and 10). Red of a "
        "JET picture falls where attention is highest, so the raw map is tested beside it; p-values of the thesis's "
        "way take crops of one patient for independent and are too small.",
    ),
    "attention_films": (
        "Maps on whole films",
        "Films drawn at random among those with the most levels in the test set. Each level's map is for the class "
        "predicted there, divided by its own maximum, and put back to where its crop was cut.",
    ),
    "attention_trust": (
        "How far the maps can be trusted",
        "Left: whether the trained networks look at the same places. Right: whether maps change when what was learnt "
        "is taken away (Adebayo et al. 2018); they should fall to what another image gives.",
    ),
}


def draw_attention(
    folder: Path, tables: Mapping[str, pl.DataFrame], store: ArtifactStore, settings: AttentionSettings, seed: int
) -> list[Picture]:
    """Draw the pictures of attention into `folder` and return them in the order of the page.

    Args:
        folder: made if missing; files of the same names are replaced.
        tables: gradcam_section_means, gradcam_statistics, gradcam_boundaries, gradcam_agreement, gradcam_sanity,
            gradcam_maps, gradcam_examples, vertebra_crops, films.
        store: where films, crops and maps lie.
        settings: of the attention room.
        seed: the profile's seed, for the choice of films.
    """
    pictures = []
    protocols = tables["gradcam_maps"]["protocol"].unique().sort().to_list()
    for protocol in protocols:
        suffix = "" if protocol == protocols[0] else f"_{protocol}"
        own = {name: frame.filter(protocol=protocol) for name, frame in tables.items() if name.startswith("gradcam")}
        network = own["gradcam_maps"].row(0, named=True)
        grids, films, trust = (
            Picture(f"{name}{suffix}", title, caption, folder / f"{name}{suffix}.png")
            for name, (title, caption) in CAPTIONS.items()
        )
        whose = f"{network['architecture']}, fold {network['fold']}, split {protocol}"
        attention_picture(
            own["gradcam_section_means"],
            own["gradcam_statistics"],
            own["gradcam_boundaries"],
            own["gradcam_examples"],
            store,
            grids.path,
            title=f"{grids.title}: {whose}",
            significance=settings.significance,
        )
        placed = crops_on_films(own["gradcam_maps"], tables["vertebra_crops"], tables["films"])
        film_picture(placed, store, films.path, count=settings.films, seed=seed, title=f"{films.title}: {whose}")
        trust_picture(own["gradcam_agreement"], own["gradcam_sanity"], trust.path, title=f"{trust.title}: {whose}")
        pictures += [grids, films, trust]
    return pictures
