from pathlib import Path

import cv2
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from olvf_assets.attention import colours
from olvf_assets.attention.agreement import agreement_of
from olvf_assets.attention.boundaries import gradcam_boundaries
from olvf_assets.attention.picture import attention_picture
from olvf_assets.attention.section_means import section_means_by_class
from olvf_assets.attention.similarity import similarity
from olvf_assets.attention.statistics import gradcam_statistics
from olvf_assets.attention.tables import GRADCAM_AGREEMENT, GRADCAM_EXAMPLES, GRADCAM_SANITY
from olvf_assets.attention.trust_picture import trust_picture
from olvf_assets.reporting import drawing
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.attention.made_up_grids import around_table_7, grids


def saved(figure: Figure, folder: Path) -> np.ndarray:
    drawing.save(figure, folder / "picture.png", 110)
    return cv2.imread(str(folder / "picture.png"))


def test_a_class_has_one_colour_in_the_whole_report() -> None:
    assert colours.CLASS_COLOURS == drawing.CLASS_COLOURS


def test_the_picture_shows_a_class_that_was_never_predicted_as_empty(tmp_path: Path) -> None:
    values = around_table_7(6, 10)
    del values["fresh"]
    table, store = grids(values), ArtifactStore(tmp_path)
    crop = store.save_image(np.full((140, 166), 90, np.uint8))[0]
    example = dict.fromkeys(GRADCAM_EXAMPLES, "F1-L1") | {"predicted": "old", "label": "fresh", "protocol": "patient"}
    examples = pl.DataFrame([{**example, "image_path": crop, "map_path": crop}], schema=GRADCAM_EXAMPLES)
    statistics = gradcam_statistics(table)
    tables = (section_means_by_class(table), statistics, gradcam_boundaries(statistics), examples)
    picture = saved(attention_picture(*tables, store), tmp_path)
    assert picture.shape[0] > 1000
    means = picture[: picture.shape[0] // 6].reshape(-1, 3)
    assert len(np.unique(means, axis=0)) > 50  # two heat maps were drawn


def test_the_trust_picture_is_drawn_with_and_without_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    maps = {("resnet50", fold): {name: rng.normal(size=(4, 48)) for name in ("red", "cam")} for fold in (1, 2, 3)}
    agreement = agreement_of(maps).with_columns(protocol=pl.lit("patient"))
    sanity = pl.DataFrame(
        [
            {"protocol": "patient", "source": source, "architecture": "resnet50", "fold": 1, "step": step,
             "randomised_down_to": part, **similarity(maps["resnet50", 1][source], maps["resnet50", 2][source])}
            for source in ("red", "cam")
            for step, part in enumerate(("head", "stem"), start=1)
        ],
        schema=GRADCAM_SANITY,
    )  # fmt: skip
    picture = saved(trust_picture(agreement, sanity, title="trust"), tmp_path)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    empty = trust_picture(GRADCAM_AGREEMENT.to_frame(), GRADCAM_SANITY.to_frame(), title="nothing")
    assert saved(empty, tmp_path).size > 0
