"""The typed batches that training takes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from .._types import TextEmbedding


class LatentBatch(NamedTuple):
    """Latents as the VAE gave them, unscaled, and the embeddings of their captions.

    All float32, though the cache may hold float16: a network that computes in the type of its input
    must not be drawn into float16 by it.
    """

    latents: Float[Array, "batch height width channels"]
    text: TextEmbedding


class ImageBatch(NamedTuple):
    """Pictures of 8 bits a channel. `to_unit` makes [-1, 1] of them, on the device.

    Measured on a CPU, 64 pictures of 256x256: moved and then converted 22 ms, converted and then
    moved 42 ms. An accelerator converts faster and has a quarter of the bytes to wait for.
    """

    images: UInt8[Array, "batch height width 3"]


def host_text(
    tokens: Float[np.ndarray, "*batch tokens width"], mask: Bool[np.ndarray, "*batch tokens"]
) -> TextEmbedding:
    """A `TextEmbedding` whose leaves are numpy arrays, to be moved to a device with its batch.

    Made as JAX makes modules of leaves, without `__init__`: the annotations there are those of
    device arrays.
    """
    text = object.__new__(TextEmbedding)
    object.__setattr__(text, "tokens", tokens)
    object.__setattr__(text, "mask", mask)
    return text
