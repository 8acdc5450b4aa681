"""The tables this room makes.

What lives here: one `pl.Schema` per table, named like the table, and the fixed words in its columns. What does not: the
rows.
"""

import polars as pl
from polars.datatypes import DataTypeClass

from olvf_assets.foundation.vocabulary import CLASSES

SOURCES = ("red", "cam")  # red channel of the JET picture, 0-255; raw Grad-CAM, in units of the network's logits
UNITS = ("image", "patient")  # one value per image; or per patient and predicted class: the mean of its images
PAIRS = tuple((first, second) for place, first in enumerate(CLASSES) for second in CLASSES[place + 1 :])
COMPARISONS = ("kruskal_wallis", *(f"{first}_{second}" for first, second in PAIRS))

GRADCAM_GRIDS = pl.Schema(
    {
        "protocol": pl.String,
        "architecture": pl.String,
        "fold": pl.Int64,
        "sample_id": pl.String,
        "crop_id": pl.String,
        "patient_id": pl.String,
        "label": pl.String,
        "predicted": pl.String,
        "section": pl.Int64,
        "source": pl.String,
        "value": pl.Float64,
    }
)

GRADCAM_SECTION_MEANS = pl.Schema(
    {
        "protocol": pl.String,
        "predicted": pl.String,
        "source": pl.String,
        "section": pl.Int64,
        "grid_row": pl.Int64,
        "grid_column": pl.Int64,
        "n_images": pl.Int64,
        "value": pl.Float64,
    }
)

# effect_size is epsilon squared for kruskal_wallis and Cliff's delta for a pair; reason says why something is NaN or
# which class was left out
GRADCAM_STATISTICS = pl.Schema(
    {
        "protocol": pl.String,
        "section": pl.Int64,
        "source": pl.String,
        "comparison": pl.String,
        "statistic": pl.Float64,
        "p_value": pl.Float64,
        "higher_class": pl.String,
        "unit": pl.String,
        "n_units": pl.Int64,
        "effect_size": pl.Float64,
        "p_holm": pl.Float64,
        "p_benjamini_hochberg": pl.Float64,
        "verdict_flips": pl.Boolean,
        "reason": pl.String,
    }
)

# the line weight_column * column + weight_row * row + offset = 0 in numbers of columns (1-8, from the left) and rows
# (1-6, from the top), positive on the side of the pair's first class; its ends lie on the edge of the picture
GRADCAM_BOUNDARIES = pl.Schema(
    {
        "protocol": pl.String,
        "unit": pl.String,
        "source": pl.String,
        "comparison": pl.String,
        "n_sections_first": pl.Int64,
        "n_sections_second": pl.Int64,
        "weight_column": pl.Float64,
        "weight_row": pl.Float64,
        "offset": pl.Float64,
        "angle_deg": pl.Float64,
        "margin_sections": pl.Float64,
        "balanced_accuracy": pl.Float64,
        "column_0": pl.Float64,
        "row_0": pl.Float64,
        "column_1": pl.Float64,
        "row_1": pl.Float64,
        "reason": pl.String,
    }
)

_SIMILARITY: dict[str, DataTypeClass] = {
    "n_images": pl.Int64,
    "n_compared": pl.Int64,
    "pearson": pl.Float64,
    "spearman": pl.Float64,
    "spearman_other_image": pl.Float64,
    "reason": pl.String,
}

# maps of two networks for the label of each unaltered crop of the test set
GRADCAM_AGREEMENT = pl.Schema(
    {
        "protocol": pl.String,
        "source": pl.String,
        "architecture_1": pl.String,
        "fold_1": pl.Int64,
        "architecture_2": pl.String,
        "fold_2": pl.Int64,
        **_SIMILARITY,
    }
)

# maps of the analysed network with all parts from its last one down to `randomised_down_to` drawn anew, against its
# trained maps; step counts the parts
GRADCAM_SANITY = pl.Schema(
    {
        "protocol": pl.String,
        "source": pl.String,
        "architecture": pl.String,
        "fold": pl.Int64,
        "step": pl.Int64,
        "randomised_down_to": pl.String,
        **_SIMILARITY,
    }
)

# map_path is the raw Grad-CAM of the predicted class divided by its maximum, as an 8-bit picture of the crop's size
GRADCAM_MAPS = pl.Schema(
    {
        "protocol": pl.String,
        "architecture": pl.String,
        "fold": pl.Int64,
        "institution": pl.String,
        "sample_id": pl.String,
        "crop_id": pl.String,
        "level": pl.String,
        "label": pl.String,
        "predicted": pl.String,
        "image_path": pl.String,
        "map_path": pl.String,
        "map_maximum": pl.Float64,
    }
)

# likewise, of every crop of a patient whom nothing was learnt from; no label has a part in it
CROP_ATTENTION = pl.Schema(
    {
        "protocol": pl.String,
        "architecture": pl.String,
        "fold": pl.Int64,
        "institution": pl.String,
        "crop_id": pl.String,
        "patient_id": pl.String,
        "level": pl.String,
        "predicted": pl.String,
        "image_path": pl.String,
        "map_path": pl.String,
        "map_maximum": pl.Float64,
    }
)

GRADCAM_EXAMPLES = pl.Schema(
    {
        "protocol": pl.String,
        "predicted": pl.String,
        "sample_id": pl.String,
        "crop_id": pl.String,
        "label": pl.String,
        "image_path": pl.String,
        "map_path": pl.String,
    }
)
