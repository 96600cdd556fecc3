"""Any image -> a square of the size that a network takes."""

import dataclasses

import numpy as np
from jaxtyping import UInt8
from PIL import Image


@dataclasses.dataclass(frozen=True)
class _Square:
    size: int
    random: bool = False
    flip: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"An image's size must be at least 1 pixel; got {self.size}.")


@dataclasses.dataclass(frozen=True)
class Crop(_Square):
    """Resizes the shorter side to `size`, keeping the aspect, and cuts a square of `size` x `size`.

    The resize is bicubic, with a wider kernel where the image shrinks (antialiased). Resize and cut
    are one pass, so that no pixel is computed in vain.

    **Arguments:**

    - `size`: side of the square in pixels.
    - `random`: cut at a random place along the longer side, instead of in the middle.
    - `flip`: mirror left and right with probability 1/2. Not for captions that mention sides.

    Random choices come from the generator in the call, in a fixed order and number: the same
    generator state gives the same image.
    """

    def __call__(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        generator: np.random.Generator | None = None,
    ) -> UInt8[np.ndarray, "size size 3"]:
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
        side = min(height, width)
        top, left = (height - side) * place, (width - side) * place
        if height == width == self.size:
            square = image
        elif side == self.size:  # no resize: integer pixels
            top, left = round(top), round(left)
            square = image[top : top + side, left : left + side]
        else:
            box = (left, top, left + side, top + side)
            resized = Image.fromarray(image).resize(
                (self.size, self.size), Image.Resampling.BICUBIC, box=box
            )
            square = np.asarray(resized)
        return square[:, ::-1] if mirror else square

    @property
    def fingerprint(self) -> str:
        """Part of the key of a cache of its output."""
        return f"bicubic crop 1, size {self.size}, random {self.random}, flip {self.flip}"


@dataclasses.dataclass(frozen=True)
class Cut(_Square):
    """Cuts a square of `size` x `size` pixels without a resize, for larger images.

    **Arguments:** as of `Crop`; `random` places the square anywhere.
    """

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
