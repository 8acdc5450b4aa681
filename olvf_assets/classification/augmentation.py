"""Table 4: the alterations drawn anew for every picture in every epoch, a batch at a time.

What lives here: scale and rotation as one affine resampling, brightness and contrast, on whichever device the batch is.
What does not: Table 3 (made once and stored, `replication.py`).
"""

import math

import torch
from torch.nn.functional import grid_sample

from olvf_assets.classification.settings import AugmentationRanges

MID_GREY = 0.5
DRAWS = 4  # random numbers a picture


def augment_batch(pictures: torch.Tensor, ranges: AugmentationRanges, draws: torch.Tensor) -> torch.Tensor:
    """Return the pictures, each altered within Table 4 as its draws say.

    Args:
        pictures: float, shape (batch, 1, height_px, width_px), grey values 0-255. Not changed.
        ranges: Table 4.
        draws: float, shape (4, batch), uniform in 0-1: scale, rotation, brightness, contrast. Whoever draws them on a
            CPU lets every device see the same.

    Returns:
        The same shape; values may leave 0-255, as brightness and contrast do not clip.
    """
    low, high = (math.log(bound) for bound in ranges.scale)
    scale = torch.exp(low + (high - low) * draws[0])
    angle = math.radians(ranges.rotation_deg) * (2 * draws[1] - 1)
    brightness = ranges.brightness * (2 * draws[2] - 1)
    contrast = torch.exp(math.log(ranges.contrast) * (2 * draws[3] - 1))
    height, width = pictures.shape[-2:]
    grid = sampling_grid(affine_matrices(scale, angle, height, width), height, width).to(pictures.dtype)
    pictures = grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    centre = 255 * MID_GREY
    gain = contrast.view(-1, 1, 1, 1)
    shift = centre * (1 - gain) + 255 * brightness.view(-1, 1, 1, 1)
    return pictures.mul_(gain).add_(shift)  # (pictures - centre) * gain + centre + brightness, in place


def sampling_grid(matrices: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return what `torch.nn.functional.affine_grid` (align_corners false) does, shape (batch, height, width, 2).

    A place is a sum of one term for its column and one for its row, so the products are of rows and columns alone: on a
    CPU a fifth of affine_grid's time, which multiplies matrices for every pixel.
    """
    x, y = (
        (2 * torch.arange(size, device=matrices.device, dtype=matrices.dtype) + 1) / size - 1
        for size in (width, height)
    )
    grid = matrices.new_empty((len(matrices), height, width, 2))
    for axis in (0, 1):
        by_x, by_y, constant = (matrices[:, axis, column, None] for column in (0, 1, 2))
        torch.add((by_x * x)[:, None, :], (by_y * y + constant)[:, :, None], out=grid[..., axis])
    return grid


def affine_matrices(scale: torch.Tensor, angle: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return (batch, 2, 3) matrices from output to input places, in torch's -1..1 coordinates (x, y).

    The content is magnified by `scale` and turned clockwise (as seen, y down) by `angle` radians about the centre;
    pixels stay square although the picture is not.
    """
    cosine, sine, zero = torch.cos(angle) / scale, torch.sin(angle) / scale, torch.zeros_like(scale)
    rows = [cosine, sine * height / width, zero, -sine * width / height, cosine, zero]
    return torch.stack(rows, dim=1).view(-1, 2, 3)
