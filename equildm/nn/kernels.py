"""Attention by the flash kernels of accelerators, where one supports the shapes."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..runtime.platform import platform
from .flash import attend

Mask = Bool[Array, "keys"] | None
Kernel = Callable[[Array, Array, Array, Mask], Array]


def fused_attend(
    query: Float[Array, "queries heads width"],
    key: Float[Array, "keys heads width"],
    value: Float[Array, "keys heads width"],
    mask: Bool[Array, "keys"] | None = None,
) -> Float[Array, "queries heads width"]:
    """The function of `attend`, by the device's own kernel where there is one.

    TPUs have a kernel for any keys, masked or not, and numbers of queries that are multiples of
    128 (`pallas`). NVIDIA GPUs have cuDNN's for self-attention over an image, the larger one
    (16-bit, even lengths, a width of at most 128 that is a multiple of 8). With a mask, as captions
    have, `attend` is used there. The kernels differentiate only in reverse mode: for forward mode
    build `CrossAttn(..., attend=attend)`.
    """
    kernel = _kernel(query, key, mask)
    return attend(query, key, value, mask) if kernel is None else kernel(query, key, value, mask)


def _kernel(query: Array, key: Array, mask: Mask) -> Kernel | None:
    lengths, width = (query.shape[0], key.shape[0]), query.shape[-1]
    match platform():
        case "tpu":
            # Imported here: the import takes a tenth of a second, and only TPUs need it.
            from .pallas import fits

            return _pallas if fits(*lengths, width) else None
        case "gpu":
            half = query.dtype in (jnp.bfloat16, jnp.float16)
            fit = half and width <= 128 and not width % 8 and not any(n % 2 for n in lengths)
            return _cudnn if fit and mask is None and _nvidia() else None
    return None


def _nvidia() -> bool:
    return "cuda" in jax.local_devices()[0].client.platform_version.lower()


def _cudnn(query: Array, key: Array, value: Array, mask: Mask) -> Array:
    del mask
    batch = (x[None] for x in (query, key, value))
    return jax.nn.dot_product_attention(*batch, implementation="cudnn")[0]


def _pallas(query: Array, key: Array, value: Array, mask: Mask) -> Array:
    from .pallas import flash, MASKED

    scaled = (query.astype(jnp.float32) / math.sqrt(query.shape[-1])).astype(query.dtype)
    scaled, key, value = (jnp.transpose(x, (1, 2, 0)) for x in (scaled, key, value))
    heads, _, keys = key.shape
    padding = -keys % 128
    if mask is not None or padding:
        # One more row of the keys holds the mask; its product is with a row of ones of the queries.
        mask = jnp.ones(keys, bool) if mask is None else mask
        key, value = (jnp.pad(x, ((0, 0), (0, 0), (0, padding))) for x in (key, value))
        hidden = jnp.where(jnp.pad(mask, (0, padding)), 0.0, 10 * MASKED).astype(key.dtype)
        key = jnp.concatenate([key, jnp.broadcast_to(hidden, (heads, 1, keys + padding))], 1)
        scaled = jnp.concatenate([scaled, jnp.ones_like(scaled[:, :1])], 1)
    return jnp.transpose(flash(scaled, key, value), (2, 0, 1))
