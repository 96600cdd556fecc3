"""The typed batches that training takes."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from .._types import Batch, Condition, SizeCondition, TextEmbedding


class LatentBatch(NamedTuple):
    """Latents with the conditions of their captions, all float32.

    A cache may hold float16. `Batches` and `Prefetch` give float32 all the same, because a network
    computes in the dtype of its input, but for a step that converts them itself.

    **Fields:**

    - `latents`: as `VAE.encode_scaled` returns them.
    - `text`: a `TextEmbedding`, or a `TokenBatch` where the text encoder is trained too.
    """

    latents: Float[Array, "batch height width channels"]
    text: Condition


class ImageBatch(NamedTuple):
    """Images of 8 bits a channel, which `to_unit` converts to [-1, 1] on the device.

    Measured on a CPU for 64 images of 256x256: 22 ms moved and then converted, 42 ms converted and
    then moved. An accelerator converts faster, and waits for a quarter of the bytes.
    """

    images: UInt8[Array, "batch height width 3"]


def host_text(
    tokens: Float[np.ndarray, "*batch tokens width"], mask: Bool[np.ndarray, "*batch tokens"]
) -> TextEmbedding:
    """A `TextEmbedding` whose leaves are numpy arrays, to be moved to a device with its batch.

    It is built without `__init__`, whose annotations are those of device arrays, as JAX builds
    modules from leaves.
    """
    text = object.__new__(TextEmbedding)
    object.__setattr__(text, "tokens", tokens)
    object.__setattr__(text, "mask", mask)
    return text


def host_sizes(text: TextEmbedding, sizes: Float[np.ndarray, "*batch 6"]) -> SizeCondition:
    """A `SizeCondition` whose leaves are numpy arrays, see `host_text`."""
    condition = object.__new__(SizeCondition)
    object.__setattr__(condition, "text", text)
    object.__setattr__(condition, "sizes", sizes)
    return condition


def full_precision(batch: Batch) -> Batch:
    """A batch with float32 in place of its float16 arrays, of numpy or of JAX."""
    return jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float16 else x, batch)
