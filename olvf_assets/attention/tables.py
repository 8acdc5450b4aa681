"""The tables this room makes.

What lives here: one `pl.Schema` per table, named like the table. What does not: the rows.
"""

import polars as pl

# source is `red` (red channel of the JET picture, 0-255) or `cam` (raw Grad-CAM, in units of the network's logits)
GRADCAM_GRIDS = pl.Schema(
    {
        "protocol": pl.String,
        "architecture": pl.String,
        "fold": pl.Int64,
        "sample_id": pl.String,
        "crop_id": pl.String,
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

GRADCAM_STATISTICS = pl.Schema(
    {
        "protocol": pl.String,
        "section": pl.Int64,
        "source": pl.String,
        "comparison": pl.String,
        "statistic": pl.Float64,
        "p_value": pl.Float64,
        "higher_class": pl.String,
    }
)

# map_path is the raw Grad-CAM divided by its maximum, as an 8-bit picture of the crop's size
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
