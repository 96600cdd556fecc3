"""Training on pixels and captions, with control images that are made as they come up."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, final, NamedTuple, TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Array, UInt8

from .._types import TextEmbedding
from .batch import host_text
from .caption_lists import CaptionLists, drawing
from .image_dataset import decoded
from .pipeline import AbstractDataset, shuffled
from .skips import Skips
from .source import AbstractSource
from .subset import Subset
from .transforms import Crop, Cut

if TYPE_CHECKING:
    import grain

_log = logging.getLogger("equildm.data")

Pixels: TypeAlias = UInt8[np.ndarray, "height width channels"]
MakeControl: TypeAlias = Callable[[Pixels], Pixels]
"""From a crop of an image, 8 bits a channel, to its control image: edges, a depth map, a pose."""


class CaptionedBatch(NamedTuple):
    """Images of 8 bits a channel, the embeddings of their captions, and control images if any."""

    images: UInt8[Array, "batch height width 3"]
    text: TextEmbedding
    control: UInt8[Array, "batch control_height control_width channels"] | None = None


@final
class CaptionedImages(AbstractDataset):
    """The captioned images of a source, cropped, in batches with their text embeddings.

        embed_captions = partial(embed, text_encoder)
        dataset = CaptionedImages(training, Crop(512), embed_captions, control=canny_edges)

    Crop and mirroring of an example, and which of several captions it has, follow from the seed and
    the example's number in the endless order. A sample without a caption is left out. An image that
    cannot be read is logged once, counted in `skips`, and the next usable image stands in for it,
    with a caption of its own.

    **Arguments:**

    - `source`: images and captions.
    - `crop`: to the size of the network.
    - `embed_captions`: from captions to embeddings with a leading axis. Every distinct caption is
        embedded once, at the beginning, and stays in memory.
    - `control`: makes the control image of a crop. By default there is none.
    - `max_skipped`: share of the captions, and of the images, that may be unusable.
    - `shuffle_files`: how many files of the source are mixed at a time, see `BlockOrder`; by
        default all.

    **Raises** `ValueError` if no sample can be used, or too many cannot.
    """

    decodes = True

    def __init__(
        self,
        source: AbstractSource,
        crop: Crop | Cut,
        embed_captions: Callable[[Sequence[str]], TextEmbedding],
        *,
        control: MakeControl | None = None,
        max_skipped: float = 0.05,
        shuffle_files: int | None = None,
    ):
        skips = Skips(source, max_skipped)
        captions = {index: skips.attempt(index, source.captions) for index in range(len(source))}
        usable = [index for index, texts in captions.items() if texts is not None]
        skips.require(len(usable))
        source.remarks.log()
        lists = [captions[index] or () for index in usable]
        distinct = dict.fromkeys(caption for texts in lists for caption in texts)
        numbers = {caption: number for number, caption in enumerate(distinct)}
        self._numbers = CaptionLists.of([numbers[caption] for caption in texts] for texts in lists)
        if not self._numbers.is_single:
            _log.warning(drawing(self._numbers.average))
        text = embed_captions(list(distinct))
        self._text = np.asarray(text.tokens, np.float32), np.asarray(text.mask)
        self._source = Subset(source, usable)
        self._crop, self._control, self._window = crop, control, shuffle_files
        self.skips = Skips(self._source, max_skipped)
        self.skips.probe(self._decoded)

    def __len__(self) -> int:
        return len(self._source)

    def read(
        self, index: int, generator: np.random.Generator | None = None
    ) -> tuple[np.int64 | Pixels, ...]:
        """The number of a caption, a crop of its image and, if there is one, the control image.

        The generator chooses the crop, and then one of several captions.
        """

        index, image = self.skips.nearest(int(index), self._decoded)
        crop = self._crop(image, generator)
        control = () if self._control is None else (self._control(crop),)
        return self._numbers.drawn(index, generator), crop, *control

    def _decoded(self, index: int) -> tuple[int, Pixels]:
        """The number of a sample and its image."""
        return index, decoded(self._source, index, self._crop)

    def parts(self, batch_size: int, of: int, seed: int) -> "grain.MapDataset":
        files = self._source.file_starts
        order = shuffled(len(self), seed, files=files, window=self._window)
        samples = order.random_map(self.read, seed=seed)
        return samples.batch(batch_size // of).map(self._batched)

    def _batched(self, parts: tuple[Any, ...]) -> CaptionedBatch:
        numbers, images, *control = parts
        tokens, mask = self._text
        return CaptionedBatch(images, host_text(tokens[numbers], mask[numbers]), *control)
