"""Images as bytes and as floats, in grids with captions, and as PNG files."""

import math
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from .runtime._files import replacing

_GAP = 6
_ROW_LABEL, _LINE = 112, 16
"""Pixels that the label of a row is wide, and that a line of it is high."""
_Pixels = TypeVar("_Pixels", np.ndarray, Array)


def to_unit(images: Shaped[_Pixels, "*shape"]) -> Float[_Pixels, "*shape"]:
    """8-bit pixels to float32 in [-1, 1]: `p / 127.5 - 1`. Floats pass as float32, unchanged.

    For numpy arrays on the host and jax arrays on a device.
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images.astype(np.float32)
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(images: Shaped[np.ndarray | Array, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """From [-1, 1] to 0 .. 255 on the host, clipped and rounded: the inverse of `to_unit`.

    **Raises** `ValueError` for whole numbers, which are pixels of 8 bits already.
    """
    array = np.asarray(images)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"to_uint8 takes floats in [-1, 1], received {array.dtype}. Leave it out for pixels "
            "of 8 bits."
        )
    return np.rint((np.clip(array, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


def check_pixels(images: Shaped[np.ndarray, "*shape"]) -> None:
    """**Raises** `ValueError` for what is neither pixels of 8 bits nor floats in about [-1, 1].

    A decoder may overshoot a little. Values beyond 8 have another range; NaN is refused, too.
    """
    if images.dtype == np.uint8:
        return
    is_float = jnp.issubdtype(images.dtype, jnp.floating)
    largest = np.abs(images.astype(np.float32)).max(initial=0.0) if is_float else np.inf
    if not largest <= 8.0:
        text = f"values up to {largest:g}" if is_float else str(images.dtype)
        raise ValueError(
            f"Images are uint8, or floating in [-1, 1]; received {text}. Divide bytes by 127.5 and "
            "subtract 1; a map of true and false is 255 * map.astype(np.uint8)."
        )


def check_mask(mask: Shaped[Array | np.ndarray, "*shape"], *, shares: bool = False) -> None:
    """**Raises** `ValueError` for a mask that is not boolean. `shares` allows floats in [0, 1]."""
    if not (mask.dtype == bool or (shares and jnp.issubdtype(mask.dtype, jnp.floating))):
        raise ValueError(
            f"A mask is true where the image is new, received {mask.dtype}. Compare one of 8 bits: "
            "mask > 127."
        )


def rounded(images: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Images in [-1, 1] as after saving with 8 bits and reading again. Runs on the device."""
    return jnp.rint((jnp.clip(images, -1.0, 1.0) + 1.0) * 127.5) / 127.5 - 1.0


def image_grid(
    images: UInt8[np.ndarray, "count height width 3"],
    captions: Sequence[str] = (),
    *,
    columns: int | None = None,
    scale: int | None = None,
    rows: Sequence[str] | None = None,
) -> UInt8[np.ndarray, "grid_height grid_width 3"]:
    """Lays images out in rows on white, each with its caption below it.

    **Arguments:**

    - `images`: at least one.
    - `captions`: one for each image, or none. Long ones are broken into two lines and cut.
    - `columns`: images in a row; by default the grid is about square.
    - `scale`: factor by which each pixel is enlarged, an integer; by default the one that brings
        an image to about 128 pixels.
    - `rows`: one label for each row, on the left of it, broken into lines and cut where they do not
        fit.
    """
    count, height, width, _ = images.shape
    if captions and len(captions) != count:
        raise ValueError(
            f"A grid takes one caption for each image, received {len(captions)} captions and "
            f"{count} images."
        )
    columns = columns or math.ceil(math.sqrt(count))
    scale = scale or max(1, 128 // max(height, width))
    height, width = height * scale, width * scale
    font = ImageFont.load_default(size=12)
    text_height = 34 if captions else 0
    cell_height, cell_width = height + text_height + _GAP, width + _GAP
    lines_of = math.ceil(count / columns)
    if rows and len(rows) != lines_of:
        raise ValueError(
            f"A grid takes one label for each row, received {len(rows)} labels and {lines_of} rows."
        )
    margin = _ROW_LABEL + _GAP if rows else 0
    size = margin + columns * cell_width + _GAP, lines_of * cell_height + _GAP
    grid = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(grid)
    for number, label in enumerate(rows or ()):
        text = _broken(label, font, _ROW_LABEL, most=max(1, height // _LINE))
        top = _GAP + number * cell_height
        draw.multiline_text((_GAP, top), text, fill="black", font=font, spacing=2)
    for index, image in enumerate(images):
        left = margin + _GAP + (index % columns) * cell_width
        top = _GAP + (index // columns) * cell_height
        enlarged = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
        grid.paste(enlarged, (left, top))
        if captions:
            lines = _broken(captions[index], font, width)
            draw.multiline_text((left, top + height + 2), lines, fill="black", font=font, spacing=2)
    return np.asarray(grid)


def unused_path(path: Path) -> Path:
    """`path`, with a number if it exists: no image is overwritten."""
    candidates = (path.with_stem(f"{path.stem}_{n}") for n in range(1, 10**6))
    return path if not path.exists() else next(c for c in candidates if not c.exists())


def save_png(
    path: str | os.PathLike,
    image: UInt8[np.ndarray, "height width 3"],
    about: Mapping[str, object] | None = None,
) -> None:
    """Writes a PNG, completely or not at all. Missing folders are created.

    `about` is kept in the file, as a text for each name that programs for images show.
    """
    texts = PngInfo()
    for name, value in (about or {}).items():
        texts.add_itxt(name, str(value))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        Image.fromarray(image).save(part, format="PNG", pnginfo=texts)


def save_pngs(
    folder: str | os.PathLike,
    images: UInt8[np.ndarray, "count height width 3"],
    about: Sequence[Mapping[str, object]],
) -> None:
    """Writes `0000.png`, `0001.png`, ... with a text about each, see `save_png`."""
    for number, (image, texts) in enumerate(zip(images, about, strict=True)):
        save_png(Path(folder) / f"{number:04d}.png", image, texts)


def _broken(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, most: int = 2
) -> str:
    """At most so many lines of at most `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    lines = [*lines[: most - 1], " ".join(lines[most - 1 :])] if len(lines) > most else lines
    return "\n".join(_cut(line, font, width) for line in lines)


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    ends = range(1, len(line))
    length = bisect_left(ends, True, key=lambda end: font.getlength(line[:end] + "…") > width)
    return line[:length] + "…"
