"""Weights that come with the program: which file, made how, and that it is that file.

What lives here: the folder, and the record beside each file of weights. What does not: what weights are for
(`detection.shipped`, `intake.pixels.picture_net`), how they are made (`commands.make_weights`).
"""

import json
from pathlib import Path
from typing import Any

from olvf_assets.foundation.errors import StaleError
from olvf_assets.foundation.provenance import file_sha256
from olvf_assets.storage.artifacts import write_atomically

COMMAND = "python -m olvf_assets.commands.make_weights"
FOLDER = Path(__file__).parents[1] / "shipped"


class ShippedWeightsError(StaleError):
    """Weights that come with the program are missing, or not those that their record names."""


def weights_file(name: str, folder: Path = FOLDER) -> Path:
    """Return the file of the weights called so, there or not."""
    return folder / f"{name}.safetensors"


def shipped_record(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Return what is known of weights: their sha256, command, profile, seed, code, and what their maker adds.

    Args:
        name: `detector` or `view`.
        folder: where they lie.

    Raises:
        ShippedWeightsError: see there.
    """
    record_file, file = folder / f"{name}.json", weights_file(name, folder)
    way_out = f"put the files of this version of the program back, or make them again: {COMMAND} {name}"
    try:
        record: dict[str, Any] = json.loads(record_file.read_text(encoding="utf-8"))
        found = file_sha256(file)
    except (OSError, ValueError) as error:
        raise ShippedWeightsError(f"{record_file}: {error}; {way_out}") from error
    if found != record.get("sha256"):
        raise ShippedWeightsError(f"{file}: not the weights that {record_file.name} names; {way_out}")
    return record


def write_record(name: str, record: dict[str, Any], folder: Path = FOLDER) -> None:
    """Write the record of weights that were just written. It bears no date and no machine's name."""
    whole = {"sha256": file_sha256(weights_file(name, folder)), "command": f"{COMMAND} {name}", **record}
    text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / f"{name}.json", lambda temporary: temporary.write_text(text, encoding="utf-8"))
