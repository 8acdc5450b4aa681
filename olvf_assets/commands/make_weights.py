"""The weights that ship, made again from phantoms: the one way by which they come to be.

What lives here: which phantoms, and the order of the steps. What does not: rendering (room `phantom`), training and
the files (room `detection`).
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.phantom_films import all_train, phantom_films
from olvf_assets.detection.provenance import LIBRARIES, TRAINING
from olvf_assets.detection.shipped import FOLDER, write_shipped
from olvf_assets.detection.training import train_detector
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.provenance import NOT_DECIDING, library_versions
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore

PROFILE = "weights"
COMMAND = "python -m olvf_assets make-weights detector"


def make_detector_weights(
    work: Path, report: Callable[[str], None], *, profile_name: str = PROFILE, folder: Path = FOLDER
) -> pl.DataFrame:
    """Train the detector that ships and write it; return its row of `detector_model`.

    Equal code, profile, libraries and kind of processor give the same file. What was begun in `work` is gone on with.

    Args:
        work: a folder for pictures and the training's state, of about 1 GB.
        report: told of progress.
        profile_name: which phantoms, and how to train.
        folder: where the weights go.
    """
    profile = load_profile(profile_name)
    settings, store = profile.detection, ArtifactStore(work / "lake")
    made = [phantom_films(store, name, profile.phantom, profile.seed) for name in profile.phantom.institutions
            if profile.phantom.institutions[name].role == "development"]  # fmt: skip
    films, boxes, drawn = (pl.concat(tables) for tables in zip(*made, strict=True))
    report(f"{films.height} phantoms")
    splits = all_train(films, settings.validation_fold)
    copies = make_detector_copies(films, boxes, splits, store, settings, profile.seed, helpers=drawn)
    model = train_detector(copies, store, settings, profile.seed, report=report)
    code = {
        "training": code_digest(TRAINING, without=NOT_DECIDING, libraries=False),
        "phantoms": code_digest("olvf_assets.detection.phantom_films:_drawn", libraries=False),
    }
    made_with = {"command": COMMAND, "profile": profile_name, "code": code,
                 "libraries": library_versions(*LIBRARIES)}  # fmt: skip
    write_shipped(model, store, made_with, folder)
    return model
