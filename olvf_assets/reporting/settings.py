"""Settings of the reporting room: how much a picture shows.

What lives here: `ReportingSettings`. What does not: colours and layout, which no study varies (`drawing.py`).
"""

from pydantic import Field

from olvf_assets.foundation.settings import Settings


class ReportingSettings(Settings):
    """Sizes of the report's pictures.

    Attributes:
        films_per_institution: films on the sheet of detected and drawn boxes.
        crops_per_class: crops of each class and institution on the sheet of crops.
        dots_per_inch: resolution of the PNG files.
    """

    films_per_institution: int = Field(ge=1)
    crops_per_class: int = Field(ge=1)
    dots_per_inch: int = Field(ge=30, le=600)
