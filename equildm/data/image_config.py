"""Which images a VAE is trained on, as options."""

import dataclasses
import itertools
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float

from ..images import to_unit
from .image_dataset import ImageDataset
from .in_memory import InMemory
from .open import open_source
from .option_checks import check_size
from .skips import Skips
from .source import AbstractSource
from .subset import split, Subset
from .transforms import Crop, Cut


@dataclasses.dataclass(frozen=True)
class ImageDataConfig:
    """A data set of images without captions, its split, and how squares are made of them.

    training, held_out = config.splits()
    dataset = config.dataset(training)
    images = config.squares(held_out, 32)
    """

    source: Annotated[str, tyro.conf.arg(name="data")] = "emoji"
    """emoji, shapes, a folder of images, tars (a glob), a .parquet or an .arrayrecord file."""
    size: int = 32
    """Side of the training images in pixels."""
    cut: int | None = None
    """Train on random squares of that size, cut from images reduced by this whole factor (1 leaves
    them as they are), instead of on whole images resized. Files are held out, not captions."""
    flip: bool = True
    """Train on mirror images as well."""
    held_out: float = 0.05
    """Share of the captions kept from training, as in pretrain.py."""

    def __post_init__(self) -> None:
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
        source = open_source(self.source)
        if self.cut is None:
            return split(source, self.held_out)
        return split(InMemory(source, self.cut), self.held_out, by="name")

    def crop(self, *, random: bool, flip: bool) -> Crop | Cut:
        """What makes a square of an image."""
        return (Crop if self.cut is None else Cut)(self.size, random=random, flip=flip)

    def dataset(self, training: AbstractSource) -> ImageDataset:
        """Random squares of the training images, in batches."""
        return ImageDataset(training, self.crop(random=True, flip=self.flip))

    def squares(
        self, source: AbstractSource, count: int
    ) -> Float[np.ndarray, "squares size size 3"]:
        """Squares of the first images in [-1, 1], always the same ones.

        The middle of each of the first `count` images; with `cut`, `count` squares at random
        places, one image after the other. Images that cannot be used are passed over.

        **Raises** `ValueError` if no image can be used.
        """
        skips = Skips(source)
        crop = self.crop(random=self.cut is not None, flip=False)
        generator = None if self.cut is None else np.random.default_rng(0)
        squares: list[np.ndarray] = []
        indices = itertools.cycle(range(len(source))) if self.cut else range(len(source))
        for index in itertools.islice(indices, count):
            square = skips.attempt(index, lambda index: crop(source.image(index), generator))
            if square is not None:
                squares.append(square)
        if not squares:
            raise ValueError(
                f"A VAE is scored on usable images, received {len(source)} images of which none "
                "is. Check the data, or hold out more: --held-out 0.2."
            )
        return to_unit(np.stack(squares))
