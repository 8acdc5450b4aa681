"""The words that every room spells the same.

What lives here: classes, levels, views and protocols, in their fixed order. What does not: anything a profile may vary.
"""

from typing import Literal, get_args

VertebraClass = Literal["normal", "old", "fresh"]
Level = Literal["L1", "L2", "L3", "L4", "L5"]
View = Literal["neutral", "flexion", "extension", "thoracic"]
# How the data are split: by patient, before anything is copied; or as the thesis did, per picture, after copying.
Protocol = Literal["patient", "thesis"]

CLASSES: tuple[VertebraClass, ...] = get_args(VertebraClass)
LEVELS: tuple[Level, ...] = get_args(Level)
# Vertebrae that are no level of the study, from head to foot: levels are counted by them.
OTHER_VERTEBRAE: tuple[str, ...] = (*(f"T{number}" for number in range(1, 13)), "S1")
# A body that somebody drew without saying which it is: it counts as one that is there to be found, and no more.
UNNAMED_BODY = "unnamed"
# What a detector calls them: T11 stands for all above it, too.
HELPERS: tuple[str, ...] = ("T12", "T11", "S1")
VIEWS: tuple[View, ...] = get_args(View)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
