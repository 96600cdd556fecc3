"""Which images a VAE is trained on, as options."""

import dataclasses
import itertools
from typing import Annotated, TYPE_CHECKING

import numpy as np
import tyro
from jaxtyping import Float

from .option_checks import check_max_skipped, check_shuffle_files, check_size
from .skips import Skips
from .source import AbstractSource
from .splits import HoldOut, split
from .subset import Subset
from .transforms import Crop, Cut

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .image_dataset import ImageDataset


@dataclasses.dataclass(frozen=True)
class ImageDataConfig:
    """Options of a data set of images without captions: its split, and how squares are cut.

    training, held_out = config.splits()
    dataset = config.dataset(training)
    images = config.squares(held_out, 32)
    """

    source: Annotated[str, tyro.conf.arg(name="data")] = "emoji"
    """emoji, shapes, fashion-mnist, a folder of images, tars (a glob), a .parquet or an
    .arrayrecord file."""
    size: int = 32
    """Side of the training images in pixels."""
    cut: int | None = None
    """Train on random squares of that size, cut from images reduced by this whole factor (1 leaves
    them as they are), instead of on whole images resized. Images are held out, not captions."""
    flip: bool = True
    """Train on mirror images as well."""
    held_out: float = 0.05
    """Share of the captions or images held out of training, as in pretrain.py."""
    hold_out: HoldOut = dataclasses.field(default="auto", metadata={"before": "caption"})
    """What is held out: whole captions, single images, or auto: images where there are ten or more
    for each caption on average, as for classes, else captions."""
    max_skipped: float = dataclasses.field(default=0.05, metadata={"before": 1.0})
    """Share of the samples that may be unusable. One more is an error."""
    shuffle_files: int | None = None
    """Files (tar, parquet, ArrayRecord, Arrow) whose images are mixed at a time, for slow disks
    and addresses. By default all: each image is read at a place of its own."""

    def __post_init__(self) -> None:
        check_max_skipped(self.max_skipped)
        check_shuffle_files(self.shuffle_files)
        check_size(self.size)
        if self.cut is not None and self.cut < 1:
            raise ValueError(
                f"Images are reduced by a whole factor of at least 1, received --cut {self.cut}."
            )
        if not 0 < self.held_out < 1:
            raise ValueError(
                "The held-out share lies between 0 and 1, for the VAE is scored on held-out "
                f"images; received --held-out {self.held_out}. Use 0.05."
            )

    def splits(self) -> tuple[Subset, Subset]:
        """`(training, held out)`."""
        from .in_memory import InMemory
        from .open import open_source

        source = open_source(self.source)
        if self.cut is None:
            return split(source, self.held_out, by=self.hold_out)
        return split(InMemory(source, self.cut), self.held_out, by="image")

    def crop(self, *, random: bool, flip: bool) -> Crop | Cut:
        """What makes a square of an image."""
        return (Crop if self.cut is None else Cut)(self.size, random=random, flip=flip)

    def dataset(self, training: AbstractSource) -> "ImageDataset":
        """Random squares of the training images, in batches."""
        from .image_dataset import ImageDataset

        crop = self.crop(random=True, flip=self.flip)
        return ImageDataset(
            training, crop, max_skipped=self.max_skipped, shuffle_files=self.shuffle_files
        )

    def squares(
        self, source: AbstractSource, count: int
    ) -> Float[np.ndarray, "squares size size 3"]:
        """Squares of `count` images in [-1, 1], always the same ones.

        The images are spread evenly over the source, for it may have one class after the other.
        The middle of each; with `cut`, `count` squares at random places, one image after the
        other. Images that cannot be used are passed over.

        **Raises** `ValueError` if no image can be used.
        """
        from ..images import to_unit
        from .usable import spread_indices

        skips = Skips(source)
        crop = self.crop(random=self.cut is not None, flip=False)
        generator = None if self.cut is None else np.random.default_rng(0)
        squares: list[np.ndarray] = []
        spread = spread_indices(len(source), count)
        indices = itertools.cycle(spread) if self.cut else spread
        for index in itertools.islice(indices, count):
            square = skips.attempt(index, lambda index: crop(source.image(index), generator))
            if square is not None:
                squares.append(square)
        if not squares:
            raise ValueError(
                f"A VAE is scored on usable images, received {len(source)} images of which none "
                "is. Check the data, or hold out more (--held-out 0.2) or single images "
                "(--hold-out image)."
            )
        return to_unit(np.stack(squares))
