"""The weights that ship, made again from phantoms: the one way by which they come to be.

    python -m olvf_assets.commands.make_weights detector --work FOLDER
    python -m olvf_assets.commands.make_weights view

What lives here: which phantoms, and the order of the steps. What does not: rendering (room `phantom`), training and
the files (room `detection`).
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.phantom_films import all_train, phantom_films
from olvf_assets.detection.provenance import LIBRARIES, TRAINING
from olvf_assets.detection.shipped import write_shipped
from olvf_assets.detection.training import device_name, train_detector
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.provenance import NOT_DECIDING, library_versions
from olvf_assets.phantom.settings import LookName
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore, write_atomically
from olvf_assets.storage.places import data_folder
from olvf_assets.storage.shipped import FOLDER, weights_file, write_record

PROFILE = "weights"
LEARNING = "olvf_assets.intake.pixels.picture_learning"
VIEW_EPOCHS = 60
# Look, patients and seed of the pictures that the network of views learns from (wide and plain), that its temperature
# is fitted on, and that it is asked about.
VIEW_SETS: dict[str, tuple[LookName, int, int]] = {
    "wide": ("wide", 1200, 1), "plain": ("plain", 120, 2), "fitted": ("withheld", 60, 3), "asked": ("withheld", 60, 4),
}  # fmt: skip
JUNK = 400


def make_detector_weights(
    work: Path, report: Callable[[str], None], *, profile_name: str = PROFILE, folder: Path = FOLDER
) -> pl.DataFrame:
    """Train the detector that ships and write it; return its row of `detector_model`.

    Equal code, profile, libraries and kind of processor give the same file. A training that was killed is gone on with
    if `work` is the same; the phantoms are drawn again.

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
    made_with = {"profile": profile_name, "code": code, "libraries": library_versions(*LIBRARIES),
                 "trained_on": device_name(settings.device)}  # fmt: skip
    write_shipped(model, store, made_with, folder)
    return model


def make_view_weights(
    report: Callable[[str], None], *, share: float = 1.0, epochs: int = VIEW_EPOCHS, folder: Path = FOLDER
) -> dict[str, Any]:
    """Teach the network that tells views apart, write it, and return its record: about half an hour of one core.

    It learns from phantoms of the wide and the plain look, its temperature is fitted on some of the withheld look, and
    the record says how it does on others of that look.

    Args:
        report: told of progress.
        share: of the patients.
        epochs: of training.
        folder: where the weights go.
    """
    from safetensors.numpy import save_file

    from olvf_assets.intake.pixels import picture_learning as learning
    from olvf_assets.intake.pixels.picture_net import NAME

    seed = load_profile(PROFILE).seed
    sets = {
        name: learning.phantom_pictures(look, max(2, round(share * patients)), own_seed, report)
        for name, (look, patients, own_seed) in VIEW_SETS.items()
    }
    taught = learning.together(sets["wide"], sets["plain"], learning.junk_pictures(JUNK, seed))
    weights = learning.learn(taught, epochs, seed, report)
    temperature = learning.honest_temperature(learning.logits_of(sets["fitted"], weights), sets["fitted"].kinds)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(weights_file(NAME, folder), lambda temporary: save_file(weights, temporary))
    record = {
        "profile": PROFILE,
        "seed": seed,
        "temperature": temperature,
        "n_pictures": len(taught.kinds),
        "asked": learning.judged(sets["asked"], weights, temperature),
        "code": {name: code_digest(f"{LEARNING}:{name}", libraries=False) for name in ("phantom_pictures", "learn")},
        "libraries": library_versions("torch", "numpy", "opencv-python"),
    }  # fmt: skip
    write_record(NAME, record, folder)
    return record


def main() -> None:
    """Make the weights that are asked for and say what was made."""
    parser = argparse.ArgumentParser(prog="python -m olvf_assets.commands.make_weights", description=__doc__)
    parser.add_argument("what", choices=("detector", "view"))
    parser.add_argument("--work", type=Path, help="detector: a folder for pictures and states, 1 GB; kept, to go on in")
    asked = parser.parse_args()
    if asked.what == "view":
        _say(str(make_view_weights(_say)))
    else:
        _say(str(make_detector_weights(asked.work or data_folder() / "make_weights", _say)))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
