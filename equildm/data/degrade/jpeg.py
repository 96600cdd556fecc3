"""Compression as JPEG."""

import dataclasses
import io

import numpy as np
from PIL import Image

from .degradation import AbstractDegradation, AbstractOperation, Canvas


@dataclasses.dataclass(frozen=True)
class JPEG(AbstractOperation):
    """JPEG at a quality of libjpeg, with colours at half the resolution (4:2:0)."""

    quality: int

    def __call__(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        del generator
        pixels = np.rint(np.clip(canvas.pixels, 0, 1) * 255).astype(np.uint8)
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "JPEG", quality=self.quality, subsampling="4:2:0")
        with Image.open(data, formats=("JPEG",)) as image:
            decoded = np.asarray(image, np.float32)
        return canvas._replace(pixels=decoded / np.float32(255))


@dataclasses.dataclass(frozen=True)
class RandomJPEG(AbstractDegradation):
    """A quality drawn uniformly from a range, both ends included."""

    quality: tuple[int, int] = (30, 95)

    def __post_init__(self) -> None:
        low, high = self.quality
        if not 1 <= low <= high <= 100:
            raise ValueError(
                f"JPEG qualities are a range (low, high) within 1 to 100; got {self.quality}."
            )

    def draw(self, generator: np.random.Generator) -> JPEG:
        low, high = self.quality
        return JPEG(int(generator.integers(low, high + 1)))
