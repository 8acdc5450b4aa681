"""Ultralytics kept at home: offline, silent, and writing only under the lake.

What lives here: the one place that imports ultralytics, after its environment is set; finding given weights. Every
module of this room calls `prepare_ultralytics` before it touches the package. What does not: training, prediction.
"""

import logging
import os
from pathlib import Path

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage.artifacts import ArtifactStore

RANDOM_WEIGHTS = "random"
# Integrations that ultralytics starts on its own when their package happens to be installed.
INTEGRATIONS = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb", "vscode_msg")


class MissingWeightsError(OlvfError):
    """The detector is to start from a checkpoint that is not there; nothing is ever downloaded."""


def prepare_ultralytics(store: ArtifactStore) -> None:
    """Import ultralytics with telemetry, update checks, downloads and integrations off.

    Settings go to `work/ultralytics` under the store's root, never to the home folder or the working directory.
    The API key variable is dropped for this process: with it ultralytics would send a training to its platform.
    """
    home = store.root / "work" / "ultralytics"
    with write_faults_named(home):
        home.mkdir(parents=True, exist_ok=True)
    os.environ["YOLO_CONFIG_DIR"] = str(home.resolve())
    for name in ("YOLO_AUTOINSTALL", "YOLO_VERBOSE"):
        os.environ[name] = "false"
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ.pop("ULTRALYTICS_API_KEY", None)
    from ultralytics import settings, utils

    utils.LOGGER.setLevel(logging.ERROR)  # also turns its progress bars off

    wanted: dict[str, object] = dict.fromkeys(INTEGRATIONS, False)
    wanted |= {f"{name}_dir": str(home.resolve() / name) for name in ("runs", "weights", "datasets")}
    if any(settings[name] != value for name, value in wanted.items()):
        with write_faults_named(home):
            settings.update(wanted)


def source_weights_path(weights: str, weights_folder: Path) -> Path | None:
    """Return the checkpoint to start from, None for random weights.

    Args:
        weights: `random`, a bare file name looked up in `weights_folder`, or a path.
        weights_folder: where downloaded checkpoints are kept.

    Raises:
        MissingWeightsError: naming the file and the way out.
    """
    if weights == RANDOM_WEIGHTS:
        return None
    path = weights_folder / weights if Path(weights).name == weights else Path(weights)
    if not path.is_file():
        raise MissingWeightsError(
            f"detection.weights: {weights!r} is not at {path}, and nothing is downloaded. Put the ultralytics "
            f"checkpoint (anchor-free, e.g. yolov5xu.pt from the releases of github.com/ultralytics/assets) there, "
            f"or set detection.weights to `random` in the profile"
        )
    return path
