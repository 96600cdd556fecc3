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

HIDDEN_FROM_PALLAS = -1e30
"""Score of a masked key, so low that its weight is 0 beside any other. Our kernel gives zeros where
every score is as low."""
HIDDEN_FROM_CUDNN = -1e6
"""No lower: a kernel may scale a score and subtract the scaled maximum in one operation, rounded
once. Where every key is masked the result would be 1e22 in place of 0, and `exp` would overflow."""


def fused_attend(
    query: Float[Array, "queries heads width"],
    key: Float[Array, "keys heads width"],
    value: Float[Array, "keys heads width"],
    mask: Bool[Array, "keys"] | None = None,
) -> Float[Array, "queries heads width"]:
    """The function of `attend`, by the device's own kernel where there is one.

    Both kernels take any number of keys, masked or not. TPUs' (`pallas`) takes numbers of queries
    that are multiples of 128. NVIDIA GPUs' (cuDNN) takes 16-bit inputs and heads whose width is a
    multiple of 8, up to 128, or 256 from the H100 on. Elsewhere `attend` is used. The kernels
    differentiate only in reverse mode: for forward mode build `CrossAttn(..., attend=attend)`.
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
            wide = width if _shown(key, mask, 8) else width + 8
            return _cudnn if half and width % 8 == 0 and wide <= _widest() else None
    return None


def _widest() -> int:
    """The widest head of cuDNN's kernel on this machine's GPU, 0 where it has none.

    Compiling ahead, without a GPU, is for an H100.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return 256
    if "cuda" not in device.client.platform_version.lower():
        return 0
    return 256 if float(device.compute_capability) >= 9 else 128


def _shown(key: Array, mask: Mask, multiple: int) -> bool:
    return mask is None and key.shape[0] % multiple == 0


def _hide(
    query: Array, key: Array, value: Array, mask: Mask, multiple: int, more: int, score: float
) -> tuple[Array, Array, Array]:
    """The three arrays for a kernel without a mask, whose keys divide by `multiple`.

    Every head is `more` wider, which holds the mask: ones in a query, in a masked key the `score`.
    """
    padding = -key.shape[0] % multiple
    mask = jnp.ones(key.shape[0], bool) if mask is None else mask
    key, value = (jnp.pad(x, ((0, padding), (0, 0), (0, 0))) for x in (key, value))
    score = max(score, float(jnp.finfo(key.dtype).min) / 2)
    hidden = jnp.where(jnp.pad(mask, (0, padding)), 0.0, score).astype(key.dtype)
    hidden = jnp.broadcast_to(hidden[:, None, None], (*key.shape[:2], 1))
    one = jnp.ones_like(query[..., :1])
    query, key = (
        jnp.concatenate([x, jnp.pad(row, ((0, 0), (0, 0), (0, more - 1)))], axis=-1)
        for x, row in ((query, one), (key, hidden))
    )
    return query, key, value


def _cudnn(query: Array, key: Array, value: Array, mask: Mask) -> Array:
    queries, width = query.shape[0], query.shape[-1]
    scale = 1 / math.sqrt(width)
    query = jnp.pad(query, ((0, queries % 2), (0, 0), (0, 0)))  # JAX refuses an odd number
    if not _shown(key, mask, 8):
        query, key, value = _hide(query, key, value, mask, 8, 8, HIDDEN_FROM_CUDNN)
        shown = True if mask is None else jnp.any(mask)
        value = jnp.where(shown, jnp.pad(value, ((0, 0), (0, 0), (0, 8))), 0)
    batch = (x[None] for x in (query, key, value))
    out = jax.nn.dot_product_attention(*batch, scale=scale, implementation="cudnn")[0]
    return out[:queries, :, :width]


def _pallas(query: Array, key: Array, value: Array, mask: Mask) -> Array:
    from .pallas import flash

    query = (query.astype(jnp.float32) / math.sqrt(query.shape[-1])).astype(query.dtype)
    if not _shown(key, mask, 128):
        query, key, value = _hide(query, key, value, mask, 128, 1, HIDDEN_FROM_PALLAS)
    query, key, value = (jnp.transpose(x, (1, 2, 0)) for x in (query, key, value))
    return jnp.transpose(flash(query, key, value), (2, 0, 1))
