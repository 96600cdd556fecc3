"""Training on pixels: cropped pictures in batches, decoded as they come up."""

from typing import final, TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from .batch import ImageBatch
from .checked import Skips
from .pipeline import AbstractDataset
from .sample import AbstractSource
from .transforms import Crop, Cut

if TYPE_CHECKING:
    import grain


@final
class Pictures(AbstractDataset):
    """The pictures of `source` through `crop`. Captions are not asked for.

    A picture that cannot be used is logged once, counted in `skips`, and the next usable one stands
    in for it. Raises `ValueError` if none can be used.
    """

    decodes = True

    def __init__(self, source: AbstractSource, crop: Crop | Cut):
        self._source = source
        self._crop = crop
        self.skips = Skips(source)
        self.skips.nearest(0, source.image)

    def __len__(self) -> int:
        return len(self._source)

    def read(
        self, index: int, generator: np.random.Generator | None = None
    ) -> UInt8[np.ndarray, "size size 3"]:
        """One picture, with the generator's choice of crop and flip."""
        return self._crop(self.skips.nearest(int(index), self._source.image), generator)

    def arrange(self, order: "grain.MapDataset", batch: int, seed: int) -> "grain.MapDataset":
        # The generator follows from the seed and the sample's number in the endless order, before
        # batches are dealt to processes: so that another number of processes draws the same.
        return order.random_map(self.read, seed=seed).batch(batch).map(ImageBatch)
