"""A small classifier of a data set's own classes, as feature network where VGG16's is far away.

VGG16 and Inception-v3 know photographs. On images of another kind, such as the grey clothes of
Fashion-MNIST, a network that was trained on labelled images of that kind sees more of what matters
there. `benchmarks/train_classifier.py` trains one in minutes.
"""

import zlib
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Image, Key
from ..nn import Conv, Linear, split_key
from .extractor import AbstractFeatureExtractor, check_rgb, pooled
from .vgg import _halve

TAPS = 5
"""As many as VGG16 has, so that `metrics.fit_caption_matcher` takes either network."""


class Classifier(AbstractFeatureExtractor):
    """Five 3x3 convolutions with ReLU, halved in size between them, and a linear layer.

    `x_i = relu(conv_i(halve(x_{i-1})))`, where `halve` is max-pooling 2x2. The taps are the `x_i`:
    32, 16, 8, 4 and 2 pixels a side of an image of 32 pixels. `logits = W mean(x_5) + b`.

    There is no normalisation: the features keep the contrast of an image, and an image's features
    do not depend on others.

    Scores are named after it, "fashion-classifier-FID". Its `description` also has the fingerprint
    of its weights, because features of two trainings do not compare.

    **Fields:**

    - `convs`, `linear`: the layers.
    - `title`: its `name`.
    - `classes`: the class of each logit.
    """

    smallest: ClassVar[int] = 16
    resize: ClassVar[None] = None

    convs: tuple[Conv, ...]
    linear: Linear
    title: str = eqx.field(static=True)
    classes: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        widths: Sequence[int] = (32, 64, 64, 128, 128),
        *,
        key: Key,
    ):
        """**Arguments:**

        - `name`: for the names of scores, without a comma.
        - `classes`: two different ones or more, in the order of the logits.
        - `widths`: channels of the five convolutions.
        - `key`: for the initial weights.

        **Raises** `ValueError` for another number of widths or a width below 1, for repeated
        classes or fewer than two, and for an empty name or one with a comma.
        """
        if not name or "," in name:
            raise ValueError(
                f"A classifier's name is part of the names of scores, received {name!r}. Give one "
                "without a comma, for instance 'fashion-classifier'."
            )
        if len(classes) < 2 or len(set(classes)) < len(classes):
            raise ValueError(
                f"A classifier tells two classes or more apart, received {tuple(classes)}. Give "
                "each class once."
            )
        if len(widths) != TAPS or min(widths) < 1:
            raise ValueError(
                f"A classifier has {TAPS} convolutions of 1 channel or more, received widths "
                f"{tuple(widths)}. Give for instance (32, 64, 64, 128, 128)."
            )
        last, *keys = split_key(key, 1 + TAPS)
        self.convs = tuple(
            _he(Conv(into, out, key=k))
            for into, out, k in zip([3, *widths[:-1]], widths, keys, strict=True)
        )
        self.linear = Linear(widths[-1], len(classes), key=last)
        self.title = name
        self.classes = tuple(classes)

    @property
    def name(self) -> str:
        return self.title

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(conv.weight.shape[-1] for conv in self.convs)

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits of the weights: a CRC-32 of their bytes in float32."""
        checksum = 0
        for leaf in jax.tree.leaves(eqx.filter(self, eqx.is_array)):
            checksum = zlib.crc32(np.ascontiguousarray(leaf, np.float32).tobytes(), checksum)
        return f"{checksum:08x}"

    @property
    def description(self) -> str:
        """The name and the fingerprint, "fashion-classifier, weights 1c291ca3"."""
        return f"{self.name}, weights {self.fingerprint}"

    def __call__(self, image: Image) -> tuple[Float[Array, "..."], ...]:
        check_rgb(image, self)
        first, *others = self.convs
        taps = [jax.nn.relu(first(image))]
        for conv in others:
            taps.append(jax.nn.relu(conv(_halve(taps[-1]))))
        return tuple(taps)

    def logits(self, image: Image) -> Float[Array, "classes"]:
        """The logits of one image in [-1, 1]; their softmax is the probability of each class."""
        return self.linear(pooled(self, image))


def _he(conv: Conv) -> Conv:
    """The same layer with weights uniform in `+-sqrt(6 / inputs)` and biases of 0 (He et al. 2015):
    without a normalisation, activations keep their size from layer to layer."""
    weight = conv.weight * np.sqrt(6).astype(np.float32)
    assert conv.bias is not None
    return eqx.tree_at(lambda c: (c.weight, c.bias), conv, (weight, jnp.zeros_like(conv.bias)))
