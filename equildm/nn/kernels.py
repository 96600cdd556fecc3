"""Attention by the flash kernels of accelerators, where there is one for the shapes at hand."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .flash import attend

Kernel = Callable[[Array, Array, Array], Array]


def fused_attend(
    query: Float[Array, "queries heads width"],
    key: Float[Array, "keys heads width"],
    value: Float[Array, "keys heads width"],
    mask: Bool[Array, "keys"] | None = None,
) -> Float[Array, "queries heads width"]:
    """What `attend` computes, by the device's own kernel or else by `attend` itself.

    Self-attention over an image, the large one, has kernels: cuDNN's on NVIDIA GPUs (16-bit, even
    lengths, a width of at most 128 that is a multiple of 8), Pallas' on TPUs (lengths that are
    multiples of 128). A mask, as captions have, goes to `attend`. The kernels differentiate in
    reverse mode only: for forward mode build `CrossAttn(..., attend=attend)`.
    """
    kernel = None if mask is not None else _kernel(query, key)
    return attend(query, key, value, mask) if kernel is None else kernel(query, key, value)


def _kernel(query: Array, key: Array) -> Kernel | None:
    lengths, width = (query.shape[0], key.shape[0]), query.shape[-1]
    backend = jax.default_backend()
    if backend == "tpu" and not any(length % 128 for length in lengths):
        return _pallas
    half = query.dtype in (jnp.bfloat16, jnp.float16)
    fits = half and width <= 128 and not width % 8 and not any(n % 2 for n in lengths)
    return _cudnn if backend == "gpu" and fits and _nvidia() else None


def _nvidia() -> bool:
    return "cuda" in jax.local_devices()[0].client.platform_version.lower()


def _cudnn(query: Array, key: Array, value: Array) -> Array:
    batch = (x[None] for x in (query, key, value))
    return jax.nn.dot_product_attention(*batch, implementation="cudnn")[0]


def _pallas(query: Array, key: Array, value: Array) -> Array:
    # Imported here, for it takes a tenth of a second that only TPUs need to spend.
    from jax.experimental.pallas.ops.tpu.flash_attention import flash_attention

    batch = (jnp.swapaxes(x, 0, 1)[None] for x in (query, key, value))
    out = flash_attention(*batch, sm_scale=1.0 / math.sqrt(query.shape[-1]))
    return jnp.swapaxes(out[0], 0, 1)
