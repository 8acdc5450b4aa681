"""What a study may vary about the crops.

What lives here: the size of a crop and how much is cut around a detected box. What does not: table schemas.
"""

from pydantic import Field

from olvf_assets.foundation.settings import Settings


class CropSettings(Settings):
    """From a box to a crop; the defaults are the thesis's."""

    width_px: int = Field(default=166, ge=8)
    height_px: int = Field(default=140, ge=8)
    margin: float = Field(default=0.0, ge=0, le=1)  # cut around the box on each side, as a share of its width, height
    workers: int = Field(default=0, ge=0)  # 0: one per core
