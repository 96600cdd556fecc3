"""The typed batches that training takes."""

import dataclasses
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from .._types import Batch, Condition, SizeCondition, TextEmbedding

M = TypeVar("M", bound=eqx.Module)


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
    return _built(TextEmbedding, tokens=tokens, mask=mask)


def host_sizes(text: TextEmbedding, sizes: Float[np.ndarray, "*batch 6"]) -> SizeCondition:
    """A `SizeCondition` whose leaves are numpy arrays, see `host_text`."""
    return _built(SizeCondition, text=text, sizes=sizes)


def _built(kind: type[M], **values: Any) -> M:
    """A module with these values of its fields, and the defaults of the others."""
    module = object.__new__(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        object.__setattr__(module, field.name, values.get(field.name, field.default))
    return module


def full_precision(batch: Batch) -> Batch:
    """A batch with float32 in place of its float16 arrays, of numpy or of JAX."""
    return jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float16 else x, batch)
