"""Good pictures with bad ones made of them as they come up."""

from typing import Any, final, NamedTuple, TYPE_CHECKING

import numpy as np
from jaxtyping import Array, UInt8

from .._types import TextEmbedding
from .batch import host_text
from .checked import Skips
from .degrade import AbstractDegradation, degraded
from .pipeline import AbstractDataset
from .sample import AbstractSource, UnusableSample
from .transforms import Cut

if TYPE_CHECKING:
    import grain


class RestorationBatch(NamedTuple):
    """Pairs of pictures, 8 bits a channel, and the embeddings of their captions.

    `low` is smaller than `images` by a whole factor.
    """

    images: UInt8[Array, "batch height width 3"]
    low: UInt8[Array, "batch low_height low_width 3"]
    text: TextEmbedding


class Pair(NamedTuple):
    """A good picture and a bad one of it."""

    image: UInt8[np.ndarray, "height width 3"]
    low: UInt8[np.ndarray, "low_height low_width 3"]


@final
class Restoration(AbstractDataset):
    """Random crops of a source's pictures, unscaled, each with a bad version of itself.

    Crop, mirroring and degradation of an example follow from the seed and the example's number in
    the endless order. A picture that cannot be used, or is smaller than a crop, is logged once,
    counted in `skips`, and the next usable one stands in for it.

    **Arguments:**

    - `source`: the good pictures.
    - `size`: side of the crops.
    - `scale`: by which the bad pictures are smaller; divides `size`.
    - `degradation`: how they become bad.
    - `text`: embeddings of the captions: one for each picture of the source, or a single one.
    - `crops`: examples of each picture in an epoch.
    - `flip`: mirror half of them.

    Raises `ValueError` for sizes that do not fit, and if no picture can be used.
    """

    decodes = True

    def __init__(
        self,
        source: AbstractSource,
        size: int,
        scale: int,
        degradation: AbstractDegradation,
        *,
        text: TextEmbedding,
        crops: int = 1,
        flip: bool = True,
    ):
        check_scale(size, scale)
        if crops < 1:
            raise ValueError(f"An epoch has at least 1 crop of each picture; got {crops}.")
        if len(text.mask) not in (1, len(source)):
            raise ValueError(
                f"There is one caption for each of {len(source)} pictures, or a single one; got "
                f"{len(text.mask)}."
            )
        self._source, self._size, self._scale = source, size, scale
        self._degradation, self._crops = degradation, crops
        self._cut = Cut(size, random=True, flip=flip)
        self._text = text
        self.skips = Skips(source)
        self.skips.nearest(0, self.picture)

    def __len__(self) -> int:
        return len(self._source) * self._crops

    def picture(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """One picture, at least as large as a crop."""
        image = self._source.image(index)
        height, width = image.shape[:2]
        if min(height, width) < self._size:
            name = self._source.name(index)
            detail = f"{width}x{height}, crops are {self._size}x{self._size}"
            raise UnusableSample("image too small", name, detail)
        return image

    def pair(self, index: int, generator: np.random.Generator) -> Pair:
        """A crop of a picture and its bad version, by the generator's choices."""
        image = self.skips.nearest(index % len(self._source), self.picture)
        crop = self._cut(image, generator)
        low = degraded(crop, self._degradation, generator)
        side = self._size // self._scale
        if low.shape[:2] != (side, side):
            raise ValueError(
                f"A degradation for scale {self._scale} makes {side}x{side} of a crop of "
                f"{self._size} pixels; this one made {low.shape[1]}x{low.shape[0]}."
            )
        return Pair(crop, low)

    def arrange(self, order: "grain.MapDataset", batch: int, seed: int) -> "grain.MapDataset":
        def read(index: int, generator: np.random.Generator) -> tuple[Any, ...]:
            picture = index % len(self._source) if len(self._text.mask) > 1 else 0
            return (*self.pair(int(index), generator), np.int64(picture))

        def batched(parts: tuple[Any, ...]) -> RestorationBatch:
            images, low, pictures = parts
            tokens, mask = self._text.tokens[pictures], self._text.mask[pictures]
            text = host_text(np.asarray(tokens, np.float32), np.asarray(mask))
            return RestorationBatch(images, low, text)

        return order.random_map(read, seed=seed).batch(batch).map(batched)


def check_scale(size: int, scale: int) -> None:
    """Raises `ValueError` unless pictures of that size get smaller by that factor."""
    if scale < 2 or size < scale or size % scale:
        raise ValueError(
            f"Pictures of {size} pixels are made smaller by a whole factor of at least 2 that "
            f"divides {size}; got {scale}. Use for instance size {max(1, size // scale) * scale}."
        )
