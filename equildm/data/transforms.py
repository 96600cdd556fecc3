"""Any image -> a square, or a rectangle, of the size that a network takes."""

import dataclasses
import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image


@dataclasses.dataclass(frozen=True)
class Crop:
    """Resizes the image to cover a rectangle, keeping the aspect, and cuts the rectangle.

    The resize is bicubic, with a wider kernel where the image shrinks (antialiased). Resize and cut
    are one pass, so that no pixel is computed in vain.

    **Arguments:**

    - `size`: side of a square in pixels, or `(height, width)`.
    - `random`: cut at a random place along the longer side, instead of in the middle.
    - `flip`: mirror left and right with probability 1/2. Not for captions that mention sides.

    Random choices come from the generator in the call, in a fixed order and number: the same
    generator state gives the same image.
    """

    size: int | tuple[int, int]
    random: bool = False
    flip: bool = False

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(f"An image's size must be at least 1 pixel; got {self.size}.")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the result."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def __call__(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        generator: np.random.Generator | None = None,
    ) -> UInt8[np.ndarray, "new_height new_width 3"]:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                "An image must be uint8 with shape (height, width, 3); got "
                f"{image.dtype} with shape {image.shape}. Convert it to 8-bit RGB."
            )
        if generator is None and (self.random or self.flip):
            raise ValueError(
                "A random crop or flip takes a numpy Generator; got None. "
                "Pass one, or set random=False and flip=False."
            )
        place, mirror = 0.5, False
        if generator is not None:
            draws = generator.random(2)
            place, mirror = draws[0] if self.random else 0.5, self.flip and draws[1] < 0.5
        height, width = image.shape[:2]
        top, left, height, width = self._box(height, width, place)
        if (height, width) == self.shape:  # no resize: integer pixels
            top, left = round(top), round(left)
            cut = image[top : top + self.shape[0], left : left + self.shape[1]]
        else:
            resized = Image.fromarray(image).resize(
                self.shape[::-1],
                Image.Resampling.BICUBIC,
                box=(left, top, left + width, top + height),
            )
            cut = np.asarray(resized)
        return cut[:, ::-1] if mirror else cut

    def _box(
        self, height: int, width: int, place: float = 0.5
    ) -> tuple[float, float, float, float]:
        """Top, left, height and width of what is cut, in pixels of the original."""
        new_height, new_width = self.shape
        box_height = min(float(height), width * new_height / new_width)
        box_width = min(float(width), height * new_width / new_height)
        return (height - box_height) * place, (width - box_width) * place, box_height, box_width

    def side(self, height: int, width: int) -> int:
        """The shorter side to which an original of this size is resized, see `decode_image`."""
        _, _, box_height, box_width = self._box(height, width)
        scale = max(self.shape[0] / box_height, self.shape[1] / box_width)
        return math.ceil(min(height, width) * scale - 1e-6)

    def offset(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of the cut in the resized image, for an original of this size."""
        top, left, box_height, _ = self._box(height, width)
        scale = self.shape[0] / box_height
        return round(top * scale), round(left * scale)

    @property
    def fingerprint(self) -> str:
        """Part of the key of a cache of its output."""
        height, width = self.shape
        size = str(height) if height == width else f"{height}x{width}"
        return f"bicubic crop 1, size {size}, random {self.random}, flip {self.flip}"


@dataclasses.dataclass(frozen=True)
class Cut:
    """Cuts a square of `size` x `size` pixels without a resize, for larger images.

    **Arguments:** as of `Crop`; `random` places the square anywhere.
    """

    size: int
    random: bool = False
    flip: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"An image's size must be at least 1 pixel; got {self.size}.")

    def __call__(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        generator: np.random.Generator | None = None,
    ) -> UInt8[np.ndarray, "size size 3"]:
        room = np.array(image.shape[:2]) - self.size
        if min(room) < 0:
            raise ValueError(
                f"A cut of {self.size} pixels must fit into the image; got {image.shape[1]}x"
                f"{image.shape[0]}. Leave the image out, or cut less."
            )
        if generator is None and (self.random or self.flip):
            raise ValueError("A random cut or flip takes a numpy Generator; got None.")
        draws = np.array([0.5, 0.5, 1.0]) if generator is None else generator.random(3)
        place = draws[:2] if self.random else 0.5
        top, left = (int(x) for x in place * (room + 0.999))
        square = image[top : top + self.size, left : left + self.size]
        return square[:, ::-1] if self.flip and draws[2] < 0.5 else square
