"""Which library decodes which transfer syntax.

What lives here: the choice, with its measurement. What does not: what is done with the pixels (`pixels`).
"""

from functools import cache
from importlib import metadata
from typing import Any, Final

import numpy as np
from pydicom import Dataset
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.headers.values import uid_of


class BrokenDecoderError(OlvfError):
    """A decoder broke down on one film (internal; becomes a refusal)."""


# The plug-ins of pydicom to ask, in this order; the first is the fastest, the others help where it fails on a film.
# Beside each: films of 1693 x 2032 pixels and 14 bit (baseline: 8) that one core decodes in a second, by
# benchmarks/intake.py in November 2026. pydicom asks gdcm first wherever it is installed; here it is asked only where
# there is no other: on damaged films it aborts its process (fuzzing found it), and fills up what is missing.
PLUGINS: Final[dict[UID, tuple[str, ...]]] = {
    RLELossless: ("pylibjpeg", "pydicom"),  # 74, 7.0
    JPEGBaseline8Bit: ("pillow",),  # 91
    JPEGExtended12Bit: ("pillow",),  # of 8 bit, as baseline; for 12 bit see `can_decode`
    JPEGLossless: ("gdcm",),  # 6.6
    JPEGLosslessSV1: ("gdcm",),  # 6.9
    JPEGLSLossless: ("pyjpegls",),  # 9.7
    JPEGLSNearLossless: ("pyjpegls",),  # as lossless
    JPEG2000Lossless: ("pylibjpeg", "pillow"),  # 1.7, 1.7
    JPEG2000: ("pylibjpeg", "pillow"),  # of 20 : 1: 14.6, 14.2
    HTJ2KLossless: ("pylibjpeg",),  # the only one, not measured: no encoder is installed
    HTJ2KLosslessRPCL: ("pylibjpeg",),
    HTJ2K: ("pylibjpeg",),
}


def can_decode(syntax: UID, bits_stored: int) -> bool:
    """Return whether a film of this transfer syntax and depth can be decoded with what is installed."""
    if syntax == JPEGExtended12Bit and bits_stored > 8:
        return False  # only pylibjpeg-libjpeg decodes 12 bit JPEG; it is GPL-3.0 and not installed
    try:
        return bool(get_decoder(syntax).is_available)
    except (ValueError, RuntimeError):
        return False


def decode(header: Dataset) -> np.ndarray:
    """Return the stored values of a film, integers, shape (height_px, width_px), perhaps read-only.

    Bits above Bits Stored are left as they are; `grey_levels` leaves them out.

    Raises:
        Exception: whatever the last of the plug-ins raises for pixels that cannot be decoded.
    """
    syntax = uid_of(header.file_meta.TransferSyntaxUID)
    decoder = get_decoder(syntax)
    options: Any = {"raw": True, "correct_unused_bits": False, "allow_excess_frames": False}
    if not syntax.is_compressed:
        return decoder.as_array(header, **(options | {"view_only": True}))[0]
    *first, last = [name for name in PLUGINS[syntax] if name in decoder.available_plugins]
    for plugin in first:
        try:
            return _decoded(decoder, header, plugin, options)
        except Exception:  # plug-ins raise what they like; the next one is asked
            continue
    return _decoded(decoder, header, last, options)


def _decoded(decoder: Decoder, header: Dataset, plugin: str, options: Any) -> np.ndarray:
    """Decode with one plug-in; a panic of one written in Rust, no `Exception` in Python, becomes one.

    Raises:
        BrokenDecoderError: such a panic.
        Exception: whatever else the plug-in raises.
    """
    try:
        return decoder.as_array(header, decoding_plugin=plugin, **options)[0]
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise BrokenDecoderError(f"decoder {plugin} broke down on this film") from error
        raise


@cache
def installed_decoders() -> str:
    """Return names and versions of the decoding libraries: others may decode what these could not."""
    libraries = ("pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm", "pillow")
    return " ".join(f"{name}={metadata.version(name)}" for name in libraries)
