"""Images with degraded versions, which are made when their turn comes."""

from typing import Any, final, NamedTuple, TYPE_CHECKING

import numpy as np
from jaxtyping import Array, UInt8

from .._types import TextEmbedding
from .batch import host_text
from .degrade import AbstractDegradation, degraded
from .image_dataset import decoded
from .option_checks import check_scale
from .pipeline import AbstractDataset, shuffled
from .skips import Skips
from .source import AbstractSource
from .transforms import Cut

if TYPE_CHECKING:
    import grain


class DegradedBatch(NamedTuple):
    """Images with degraded versions, 8 bits a channel, and the embeddings of their captions.

    `low` is smaller than `images` by a whole factor.
    """

    images: UInt8[Array, "batch height width 3"]
    low: UInt8[Array, "batch low_height low_width 3"]
    text: TextEmbedding


class DegradedPair(NamedTuple):
    """An image and its degraded version."""

    image: UInt8[np.ndarray, "height width 3"]
    low: UInt8[np.ndarray, "low_height low_width 3"]


@final
class DegradedPairs(AbstractDataset):
    """Random crops of a source's images, without a resize, each with its degraded version.

    Crop, mirroring and degradation of an example follow from the seed and the example's number in
    the endless order. An image that is unusable, or smaller than a crop, is logged once and counted
    in `skips`, and the next usable one takes its place, with its own caption.

    **Arguments:**

    - `source`: the original images.
    - `size`: side of the crops.
    - `scale`: factor by which degraded images are smaller; divides `size`.
    - `degradation`: makes the degraded images.
    - `text`: embeddings of the captions: one for each image of the source, or a single one.
    - `crops`: examples of each image in an epoch.
    - `flip`: mirror half of them.
    - `max_skipped`: share of the images that may be unusable.

    **Raises** `ValueError` for sizes that do not fit, and if no image is usable.
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
        max_skipped: float = 0.05,
    ):
        check_scale(size, scale)
        if crops < 1:
            raise ValueError(f"An epoch has at least 1 crop of each image; got {crops}.")
        if len(text.mask) not in (1, len(source)):
            raise ValueError(
                f"There is one caption for each of {len(source)} images, or a single one; got "
                f"{len(text.mask)}."
            )
        self._source, self._size, self._scale = source, size, scale
        self._degradation, self._crops = degradation, crops
        self._cut = Cut(size, random=True, flip=flip)
        self._text = text
        self.skips = Skips(source, max_skipped)
        self.skips.probe(self.image)

    def __len__(self) -> int:
        return len(self._source) * self._crops

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """An image; raises `UnusableSample` for one that is smaller than a crop."""
        return decoded(self._source, index, self._cut)

    def pair(self, index: int, generator: np.random.Generator) -> DegradedPair:
        """A crop of an image and its degraded version, by the generator's choices."""
        return self._numbered(index, generator)[1]

    def _numbered(self, index: int, generator: np.random.Generator) -> tuple[int, DegradedPair]:
        """A pair, and the number of the image that it is of, which may stand in for another."""
        number, image = self.skips.nearest(
            index % len(self._source), lambda number: (number, self.image(number))
        )
        crop = self._cut(image, generator)
        low = degraded(crop, self._degradation, generator)
        side = self._size // self._scale
        if low.shape[:2] != (side, side):
            raise ValueError(
                f"A degradation for scale {self._scale} makes {side}x{side} of a crop of "
                f"{self._size} pixels; this one made {low.shape[1]}x{low.shape[0]}."
            )
        return number, DegradedPair(crop, low)

    def parts(self, batch_size: int, of: int, seed: int) -> "grain.MapDataset":
        """See `AbstractDataset`."""
        samples = shuffled(len(self), seed).random_map(self._read, seed=seed)
        return samples.batch(batch_size // of).map(self._batched)

    def _read(
        self, index: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.int64]:
        number, pair = self._numbered(int(index), generator)
        return (*pair, np.int64(number if len(self._text.mask) > 1 else 0))

    def _batched(self, parts: tuple[Any, ...]) -> DegradedBatch:
        images, low, captions = parts
        tokens, mask = self._text.tokens[captions], self._text.mask[captions]
        text = host_text(np.asarray(tokens, np.float32), np.asarray(mask))
        return DegradedBatch(images, low, text)
