"""Encoded bytes -> pixels, distrustful of the bytes."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import (
    BmpImagePlugin as BmpImagePlugin,  # loaded here: in the middle of a run it could fail
    ExifTags,
    GifImagePlugin as GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin as JpegImagePlugin,
    MpoImagePlugin as MpoImagePlugin,
    PngImagePlugin as PngImagePlugin,
    TiffImagePlugin as TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin as WebPImagePlugin,
)

from .color_profile import to_srgb
from .remarks import ignore, Note
from .source import digest_of, StoredImage, UnusableSample

try:  # newer than the oldest Pillow that will do, and optional in it
    from PIL import AvifImagePlugin
except ImportError:
    _WITH_AVIF = False
else:
    _WITH_AVIF = bool(AvifImagePlugin.SUPPORTED)

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", *(("AVIF",) if _WITH_AVIF else ()))
"""The only decoders used on data: none of them runs another program."""

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *((".avif",) if _WITH_AVIF else ()),
)

_SPARE = 2
"""A reduced image has at least so many pixels for each one that is needed, along a side: the resize
that follows then has the quality that it would have from the entire image."""

MAX_PIXELS = 2**26
MIN_SIDE = 4

_OTHER_FORMATS = (
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"<svg", "SVG"),
    (4, b"ftyp", "HEIF or AVIF"),
)
"""Offset, bytes and name of formats that are no broken images, but not decoded."""


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 3"]:
    """The image in a file, see `decode_image`.

    **Raises** `ValueError` for a file that cannot be read or holds no usable image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"An image must be a file; {path} cannot be read: {error}") from error
    return decode_image(data, str(path))


def decode_image(
    data: bytes, name: str, note: Note = ignore, *, side: int | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """The image in `data`: upright, in sRGB, composited on white where it is transparent.

    Colours are converted from the profile that is embedded in the file; without one they are taken
    as they are.

    **Arguments:**

    - `data`: the bytes of a PNG, JPEG, WebP, BMP, GIF, TIFF or (where Pillow can) AVIF file.
    - `name`: what the error calls it.
    - `note`: counts a colour profile that cannot be used, see `Remarks`.
    - `side`: for an image that is reduced to this shorter side, in pixels, afterwards. A JPEG file
        that is larger is then decoded at 1/2, 1/4 or 1/8 of its size, which saves most of the time,
        but never to less than twice `side`.

    **Raises** `UnusableSample` for bytes that are no image or cut off, for a side under 4 pixels
    and for more than 2^26 pixels. Sizes are read from the header, so that a decompression bomb is
    never unpacked. Errors of the machine, such as too little memory, pass.
    """
    with _opened(data, name) as image:
        if side is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(None, (_SPARE * side, _SPARE * side))
        image.load()
        profile = image.info.get("icc_profile")
        return np.asarray(_rgb(ImageOps.exif_transpose(image), profile, note))


def image_shape(data: bytes, name: str) -> tuple[int, int]:
    """Height and width of the upright image in `data`, of which only the header is read.

    **Raises** `UnusableSample`, see `decode_image`.
    """
    with _opened(data, name) as image:
        width, height = image.size
        # Pillow turns the size of a TIFF itself.
        turned = (5, 6, 7, 8) if image.format != "TIFF" else ()
        is_turned = image.getexif().get(ExifTags.Base.Orientation) in turned
        return (width, height) if is_turned else (height, width)


@contextlib.contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """The image with its header read. Whatever is wrong with the bytes is an `UnusableSample`."""
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
            yield image
    except (UnusableSample, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise UnusableSample("image too large", name, str(error)) from error
    except UnidentifiedImageError as error:
        kind = _other_format(data)
        reason = "broken image" if kind is None else "unsupported image"
        raise UnusableSample(reason, name, kind or "no image") from error
    except Exception as error:
        # Decoders of broken files raise whatever their parser stumbled on (SyntaxError,
        # struct.error, EOFError, ...): there is no narrower common class. But only the system
        # sets the number of an error.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnusableSample("broken image", name, str(error)) from error


def stored_image(data: bytes, name: str, note: Note = ignore) -> StoredImage:
    """The image in `data`, to be decoded when it is needed. For arguments see `decode_image`."""
    return StoredImage(
        digest_of(data),
        lambda *, side=None: decode_image(data, name, note, side=side),
        lambda: image_shape(data, name),
    )


def _other_format(data: bytes) -> str | None:
    for offset, magic, kind in _OTHER_FORMATS:
        if data[offset:].startswith(magic):
            return kind
    return None


def _rgb(image: Image.Image, profile: object, note: Note) -> Image.Image:
    if image.mode == "RGB" and not profile and not image.has_transparency_data:
        return image
    if image.mode.startswith("I;16"):  # 16-bit grey: PIL's own conversion clips at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, whose range is not known")
    if not image.has_transparency_data:
        return to_srgb(image, profile, note)
    colored = image.convert("RGBA")
    alpha = colored.getchannel("A")
    is_grey = image.mode in ("1", "L", "LA", "La")
    colored = to_srgb(colored.convert("L" if is_grey else "RGB"), profile, note)
    colored.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), colored).convert("RGB")
