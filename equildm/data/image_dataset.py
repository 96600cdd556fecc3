"""Training on pixels: cropped images in batches, decoded when their turn comes."""

from typing import final, TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from .batch import ImageBatch
from .pipeline import AbstractDataset, shuffled
from .skips import Skips
from .source import AbstractSource, UnusableSample
from .transforms import Crop, Cut

if TYPE_CHECKING:
    import grain


@final
class ImageDataset(AbstractDataset):
    """The images of `source` through `crop`, without captions.

    An unusable image, or one that is too small for a `Cut`, is logged once and counted in `skips`,
    and the next usable one takes its place. More of them than the share `max_skipped` of the source
    are an error, see `Skips.probe` for the first few. With `shuffle_files` so many files of the
    source are mixed at a time, see `BlockOrder`; by default all.

    **Raises** `ValueError` if no image is usable, or too many are not.
    """

    decodes = True

    def __init__(
        self,
        source: AbstractSource,
        crop: Crop | Cut,
        *,
        max_skipped: float = 0.05,
        shuffle_files: int | None = None,
    ):
        self._source, self._window = source, shuffle_files
        self._crop = crop
        self.skips = Skips(source, max_skipped)
        self.skips.probe(self._decoded)

    def __len__(self) -> int:
        return len(self._source)

    def read(
        self, index: int, generator: np.random.Generator | None = None
    ) -> UInt8[np.ndarray, "size size 3"]:
        """One image, with the generator's choice of crop and flip."""
        return self._crop(self.skips.nearest(int(index), self._decoded), generator)

    def _decoded(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return decoded(self._source, index, self._crop)

    def parts(self, batch_size: int, of: int, seed: int) -> "grain.MapDataset":
        # The generator follows from the seed and the sample's number in the endless order, before
        # batches are split between processes: any number of processes draws the same.
        files = self._source.file_starts
        order = shuffled(len(self), seed, files=files, window=self._window)
        samples = order.random_map(self.read, seed=seed)
        return samples.batch(batch_size // of).map(ImageBatch)


def decoded(
    source: AbstractSource, index: int, crop: Crop | Cut
) -> UInt8[np.ndarray, "height width 3"]:
    """An image of a source, decoded no larger than the crop needs by much.

    **Raises** `UnusableSample` for one that is smaller than a `Cut`, or that cannot be decoded.
    """
    if isinstance(crop, Crop):
        return source.stored(index).decode(side=max(crop.shape))
    image = source.image(index)
    height, width = image.shape[:2]
    if min(height, width) < crop.size:
        detail = f"{width}x{height}, cuts are {crop.size}x{crop.size}"
        raise UnusableSample("image too small", source.name(index), detail)
    return image
