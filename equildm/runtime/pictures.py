"""Pictures for people: grids with their captions, written as PNG."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from ._files import replacing

_GAP = 6


def to_uint8(images: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """From [-1, 1] to 0 .. 255, clipped and rounded."""
    return np.round((np.clip(images, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


def picture_grid(
    images: UInt8[np.ndarray, "count height width 3"],
    captions: Sequence[str] = (),
    *,
    columns: int | None = None,
    scale: int | None = None,
) -> UInt8[np.ndarray, "grid_height grid_width 3"]:
    """Lays pictures out in rows on white, each with its caption below it.

    **Arguments:**

    - `images`: at least one.
    - `captions`: one for each image, or none. Long ones are broken into two lines and cut.
    - `columns`: pictures in a row; by default the grid is about square.
    - `scale`: whole number by which each pixel is enlarged; by default as many as bring a picture
        to about 128 pixels.
    """
    count, height, width, _ = images.shape
    if captions and len(captions) != count:
        raise ValueError(
            f"A grid takes one caption for each picture, received {len(captions)} captions and "
            f"{count} pictures."
        )
    columns = columns or math.ceil(math.sqrt(count))
    scale = scale or max(1, 128 // max(height, width))
    height, width = height * scale, width * scale
    font = ImageFont.load_default(size=12)
    text_height = 34 if captions else 0
    cell_height, cell_width = height + text_height + _GAP, width + _GAP
    rows = math.ceil(count / columns)
    grid = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw = ImageDraw.Draw(grid)
    for index, image in enumerate(images):
        left = _GAP + (index % columns) * cell_width
        top = _GAP + (index // columns) * cell_height
        picture = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
        grid.paste(picture, (left, top))
        if captions:
            lines = _broken(captions[index], font, width)
            draw.multiline_text((left, top + height + 2), lines, fill="black", font=font, spacing=2)
    return np.asarray(grid)


def save_png(path: str | os.PathLike, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Writes a PNG, whole or not at all."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        Image.fromarray(image).save(part, format="PNG")


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """At most two lines of at most `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > 2:
        lines = [lines[0], " ".join(lines[1:])]
    return "\n".join(_cut(line, font, width) for line in lines)


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
