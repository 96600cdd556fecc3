"""Which captioned images a model that sees pixels is trained on, as options."""

import dataclasses
from typing import Annotated, NamedTuple, TYPE_CHECKING

import numpy as np
import tyro
from jaxtyping import UInt8

from .first_captions import Captions, with_captions
from .option_checks import check_held_out, check_max_skipped, check_shuffle_files, check_size
from .source import AbstractSource
from .splits import HoldOut, split
from .subset import Subset
from .transforms import Crop

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from ..text import AbstractTextEncoder
    from .captioned_images import CaptionedImages, MakeControl


class Examples(NamedTuple):
    """Images with their captions, on the host."""

    images: UInt8[np.ndarray, "count size size 3"]
    captions: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class CaptionedDataConfig:
    """A data set of captioned images, its split, and how the images are cropped.

        training, held_out = config.splits()
        dataset = config.dataset(training, text_encoder, control=canny_edges)
        examples = config.examples(held_out, 8)

    For objectives that encode the images in the step. `DataConfig` caches their latents instead.
    """

    source: Annotated[str, tyro.conf.arg(name="data")] = "emoji"
    """emoji, shapes, fashion-mnist, a folder of images with metadata.jsonl or .txt captions or of a
    folder for each class, tars (a glob), a .parquet or an .arrayrecord file."""
    size: int = 32
    """Side of the images in pixels; they are resized and cropped in the middle."""
    flip: bool = False
    """Train on mirror images as well."""
    held_out: float = 0.05
    """Share held out of training, chosen by a hash of the caption or of the image's name."""
    hold_out: HoldOut = dataclasses.field(default="auto", metadata={"before": "caption"})
    """What is held out: whole captions, single images, or auto: images where there are ten or more
    for each caption on average, as for classes, else captions."""
    max_skipped: float = dataclasses.field(default=0.05, metadata={"before": 1.0})
    """Share of the samples that may be unusable. One more is an error."""
    captions: Captions = dataclasses.field(default="all", metadata={"before": "first"})
    """Of several captions of an image: one that is drawn anew each epoch, or always the first."""
    shuffle_files: int | None = None
    """Files (tar, parquet, ArrayRecord, Arrow) whose images are mixed at a time, for slow disks
    and addresses. By default all: each image is read at a place of its own."""

    def __post_init__(self) -> None:
        check_max_skipped(self.max_skipped)
        check_shuffle_files(self.shuffle_files)
        check_size(self.size)
        check_held_out(self.held_out)

    def check_previews(self, count: int) -> None:
        """Refuses previews that would show no held-out image.

        **Raises** `ValueError`.
        """
        if self.held_out == 0 or count < 1:
            raise ValueError(
                "Previews show at least 1 held-out image, received --held-out "
                f"{self.held_out} and --preview-count {count}. Use 0.05 and 8."
            )

    def splits(self) -> tuple[Subset, Subset]:
        """`(training, held out)`."""
        from .in_memory import InMemory
        from .open import open_source

        source = with_captions(open_source(self.source), self.captions)
        return split(InMemory(source), self.held_out, by=self.hold_out)

    def dataset(
        self,
        training: AbstractSource,
        text_encoder: "AbstractTextEncoder",
        *,
        control: "MakeControl | None" = None,
    ) -> "CaptionedImages":
        """The training images in batches. `control` makes a control image of a crop."""
        from ..text import embed_captions
        from .captioned_images import CaptionedImages

        crop = Crop(self.size, flip=self.flip)
        return CaptionedImages(
            training,
            crop,
            lambda captions: embed_captions(text_encoder, captions),
            control=control,
            max_skipped=self.max_skipped,
            shuffle_files=self.shuffle_files,
        )

    def examples(self, source: AbstractSource, count: int) -> Examples:
        """`count` images spread evenly over a source, always the same ones, for previews.

        **Raises** `ValueError` if none is usable.
        """
        from .usable import centre_crops, spread_indices, usable_indices

        spread = spread_indices(len(source), count)
        others = np.setdiff1d(np.arange(len(source)), spread)
        indices = usable_indices(source, [*spread, *others.tolist()], count)
        captions = tuple(source.caption(index) for index in indices)
        return Examples(centre_crops(source, indices, self.size), captions)
