"""Crops as one array.

What lives here: `packed_pixels`, which reads many small pictures once and keeps them as one memory-mapped file.
What does not: augmentation, and anything that changes grey values other than the reduction of the input.
"""

import numpy as np
import polars as pl

from olvf_assets.foundation.artifacts import ArtifactStore, write_atomically

CODE_VERSION = 1


def packed_pixels(samples: pl.DataFrame, store: ArtifactStore, divisor: int) -> np.ndarray:
    """Return all pictures of `samples`, in their order: uint8, shape (samples, height_px, width_px), memory-mapped.

    Args:
        samples: any table with column image_path; the pictures have one size.
        store: where they lie, and where the packed file is kept for the next process that asks for the same pictures.
        divisor: pictures are reduced to width / divisor by height / divisor (rounded up) by area averaging.

    Raises:
        FileNotFoundError: a picture is missing.
        ValueError: pictures differ in size.
    """
    import cv2

    paths = samples["image_path"].to_list()
    packed = (
        store.work_folder("packed_pixels", {"code": CODE_VERSION, "divisor": divisor, "paths": paths}) / "pixels.npy"
    )
    if not packed.exists():
        pictures = [store.load_image(path) for path in paths]
        if divisor > 1 and pictures:
            height, width = pictures[0].shape
            size = (-(-width // divisor), -(-height // divisor))
            pictures = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
        array = np.stack(pictures) if pictures else np.zeros((0, 1, 1), np.uint8)
        write_atomically(packed, lambda temporary: np.save(temporary, array))
    return np.load(packed, mmap_mode="r")
