"""Fashion-MNIST: 70,000 small grey images of ten classes of clothes."""

import hashlib
from pathlib import Path
from typing import final, Literal, TypeAlias

import numpy as np
from jaxtyping import UInt8

from ..source import AbstractSource, digest
from .idx import read_idx

CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag"),
    "ankle boot",
)
"""The captions, in the order of the labels 0 to 9."""
FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""
SIDE = 28

Part: TypeAlias = Literal["train", "t10k"]
"""First word of the files' names: 60,000 images for training, 10,000 for tests."""


@final
class FashionMNISTSource(AbstractSource):
    """The training or the test images of Fashion-MNIST (Xiao et al. 2017), with their classes.

    28 x 28 pixels, grey, returned as RGB. The caption is the name of the class: "t-shirt" for what
    the data set calls "T-shirt/top", else its own name in lower case. The files, IDX under gzip,
    are read once and stay in memory: 47 MB for training.

    **Arguments:**

    - `folder`: holds `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz`, or the same with
        `t10k`.
    - `part`: `"train"` or `"t10k"`.

    **Raises** `ValueError` for a file that is missing or damaged, and for files that do not fit
    together.
    """

    def __init__(self, folder: str | Path = FOLDER, part: Part = "train"):
        images, labels = (
            Path(folder, f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
        )
        for path in (images, labels):
            if not path.is_file():
                raise ValueError(
                    f"Fashion-MNIST must be in its folder; {path} is missing. On Debian: apt "
                    "install dataset-fashion-mnist. Elsewhere name the folder of the files: "
                    "fashion-mnist:/path/to/folder."
                )
        self._images, self._labels = read_idx(images, 3), read_idx(labels, 1)
        if self._images.shape[1:] != (SIDE, SIDE):
            raise ValueError(
                f"Images of Fashion-MNIST have {SIDE} x {SIDE} pixels; those of {images} have "
                f"{self._images.shape[1]} x {self._images.shape[2]}. Get the file again."
            )
        if len(self._images) != len(self._labels) or not len(self._images):
            raise ValueError(
                f"Fashion-MNIST has one label for each image; {images} has {len(self._images)} "
                f"images, {labels} {len(self._labels)} labels. Get both files again."
            )
        if self._labels.max() >= len(CLASSES):
            raise ValueError(
                f"Labels of Fashion-MNIST are 0 to {len(CLASSES) - 1}; {labels} has "
                f"{self._labels.max()}. Get the file again."
            )
        self._part = part
        # The same files on another machine must have the same key: no paths and no file times.
        contents = [hashlib.blake2b(x).hexdigest() for x in (self._images, self._labels)]
        self._fingerprint = digest(["fashion-mnist", 1, part, *contents])

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        return f"fashion-mnist {self._part} {index}"

    def caption(self, index: int) -> str:
        return CLASSES[self._labels[index]]

    def image(self, index: int) -> UInt8[np.ndarray, "28 28 3"]:
        return np.repeat(self._images[index][..., None], 3, axis=-1)
