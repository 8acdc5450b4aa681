"""Crops as one array.

What lives here: `packed_pixels`, which reads many small pictures once and keeps them as one memory-mapped file.
What does not: augmentation, and anything that changes grey values other than the reduction of the input.
"""

from pathlib import Path

import numpy as np
import polars as pl

from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.provenance import library_versions
from olvf_assets.storage.artifacts import ArtifactStore

REDUCING = ("numpy", "opencv-python", "opencv-python-headless")


def packed_pixels(samples: pl.DataFrame, store: ArtifactStore, divisor: int) -> np.ndarray:
    """Return all pictures of `samples`, in their order: uint8, shape (samples, height_px, width_px), memory-mapped.

    Args:
        samples: any table with column image_path; the pictures have one size.
        store: where they lie, and where the packed file is kept for the next process that asks for the same pictures.
        divisor: pictures are reduced to width / divisor by height / divisor (rounded up) by area averaging.

    Raises:
        DamagedPictureError: a picture is missing or damaged.
        ValueError: pictures differ in size.
    """
    import cv2

    paths = samples["image_path"].to_list()
    # Kept because fifteen trainings, each in a process of its own, map the same file.
    code = code_digest("olvf_assets.classification.pixels:packed_pixels", libraries=False)
    description = {"code": code, "libraries": library_versions(*REDUCING), "divisor": divisor, "paths": paths}
    packed = store.work_folder("packed_pixels", description) / "pixels.npy"
    pixels = store.read(packed, lambda _: _mapped(store.at_hand(packed)))
    if pixels is None:
        store.fetch(paths)
        height, width = store.load_image(paths[0]).shape if paths else (1, 1)
        small_height, small_width = -(-height // divisor), -(-width // divisor)
        array = np.empty((len(paths), small_height, small_width), np.uint8)  # filled one by one: no second copy of all
        for number, path in enumerate(paths):
            picture = store.load_image(path)
            if picture.shape != (height, width):
                raise ValueError(f"{path}: {picture.shape}, but the first picture is {(height, width)}")
            if divisor > 1:
                picture = cv2.resize(picture, (small_width, small_height), interpolation=cv2.INTER_AREA)
            array[number] = picture
        store.write(packed, lambda temporary: np.save(temporary, array))
        pixels = _mapped(store.at_hand(packed))
    return pixels


def _mapped(packed: Path) -> np.ndarray:
    found: np.ndarray = np.load(packed, mmap_mode="r")
    return found
