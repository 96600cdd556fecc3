"""Encoded bytes -> pixels, distrustful of the bytes."""

import io
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from .source import UnusableSample

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""The only decoders used on data: none of them runs another program."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")

MAX_PIXELS = 2**26
MIN_SIDE = 4


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 3"]:
    """The image in a file, see `decode_image`.

    **Raises** `ValueError` for a file that cannot be read or holds no usable image.
    """
    try:
        return decode_image(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise ValueError(f"An image must be a file; {path} cannot be read: {error}") from error


def decode_image(data: bytes, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """The image in `data`: upright, in RGB, composited on white where it is transparent.

    **Arguments:**

    - `data`: the bytes of a PNG, JPEG, WebP, BMP, GIF or TIFF file.
    - `name`: what the error calls it.

    **Raises** `UnusableSample` for bytes that are no image or cut off, for a side under 4 pixels
    and for more than 2^26 pixels. Sizes are read from the header, so that a decompression bomb is
    never unpacked.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnusableSample(
                    "image too large", name, f"{width}x{height}, over {MAX_PIXELS} pixels"
                )
            if min(width, height) < MIN_SIDE:
                raise UnusableSample(
                    "image too small", name, f"{width}x{height}, a side under {MIN_SIDE}"
                )
            image.load()
            return np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except UnusableSample:
        raise
    except Image.DecompressionBombError as error:
        raise UnusableSample("image too large", name, str(error)) from error
    except Exception as error:
        # Decoders of broken files raise whatever their parser stumbled on (SyntaxError,
        # struct.error, EOFError, ...): there is no narrower common class.
        detail = "no image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UnusableSample("broken image", name, detail) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):  # 16-bit grey: PIL's own conversion clips at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, whose range is not known")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
