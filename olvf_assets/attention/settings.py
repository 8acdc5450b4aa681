"""What a study may vary in the attention analysis.

What lives here: the frozen settings of the room. Defaults are the thesis's. What does not: the networks' settings.
"""

from typing import Annotated

from pydantic import Field

from olvf_assets.classification.settings import Architecture
from olvf_assets.foundation.settings import Settings


class AttentionSettings(Settings):
    """Which network's attention is analysed, and how.

    Attributes:
        architecture: the network; None takes, of all trained networks, the one with the highest validation accuracy
            (the thesis: DenseNet-161 of fold 5, chosen as the most accurate of the fifteen).
        fold: its fold; None takes the fold with the highest validation accuracy.
        replicas: whether altered replicas of the test set count as images of their own, as in the thesis; off, each
            crop counts once.
        significance: the level of the section-wise tests.
        examples: pictures with overlay shown per predicted class.
        films: films shown with the maps of all their levels.
        sanity_images: unaltered crops, drawn at random, whose maps are compared while the network is randomised.
    """

    architecture: Architecture | None = "densenet161"
    fold: Annotated[int, Field(ge=1)] | None = 5
    replicas: bool = True
    significance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    examples: Annotated[int, Field(ge=1)] = 4
    films: Annotated[int, Field(ge=1)] = 6
    sanity_images: Annotated[int, Field(ge=1)] = 100
