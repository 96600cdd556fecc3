"""The types that every package shares, named once.

Arrays hold one example; a batch is made by `jax.vmap` at the call site.
"""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jaxtyping
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree, Shaped

Image: TypeAlias = Float[Array, "height width rgb"]
"""Pixels in [-1, 1], channels last."""

Latent: TypeAlias = Float[Array, "height width channels"]
"""What the VAE makes of an image, scaled to about unit variance."""

NoiseLevel: TypeAlias = Float[Array, ""]
"""`s = sigma / alpha`, from 0 (clean) upwards."""

Time: TypeAlias = Float[Array, ""]
"""A schedule's time in units of its training steps: 0 is clean, 999 is noise."""

Key: TypeAlias = PRNGKeyArray

Keys: TypeAlias = jaxtyping.Key[Array, "batch"]
"""One key for each example of a batch."""


Condition: TypeAlias = PyTree
"""What a network is conditioned on: a `TextEmbedding`, or whatever a wrap makes of one."""

Network: TypeAlias = Callable[..., Array]
"""`(x, t, condition) -> output`: a noisy latent `x` at time `t` to what the prediction names."""

Batch: TypeAlias = PyTree
"""Arrays with a leading batch axis, for instance a `LatentBatch`."""

Metrics: TypeAlias = dict[str, Shaped[Array, ""]]
"""Scalars to be logged, by name."""


class TextEmbedding(eqx.Module):
    """A caption as a sequence of vectors.

    **Fields:**

    - `tokens`: one vector a token. Batches add axes in front.
    - `mask`: true where the token is real, false where it is padding. Attention leaves padding out.
    - `pooled`: one vector of the entire caption, where the encoder has one.
    """

    tokens: Float[Array, "*batch tokens width"]
    mask: Bool[Array, "*batch tokens"]
    pooled: Float[Array, "*batch pooled_width"] | None = None


class SizeCondition(eqx.Module):
    """A caption with the sizes of the image that it belongs to (Podell et al. 2023, section 2.2).

    **Fields:**

    - `text`: the caption.
    - `sizes`: six numbers of pixels: height and width of the original image, top and left of the
        crop in the resized image, height and width of the crop.
    """

    text: TextEmbedding
    sizes: Float[Array, "*batch 6"]


def check_one(x: Array, what: str) -> None:
    """**Raises** `ValueError` for a batch of what a module takes one of."""
    if x.ndim != 3:
        raise ValueError(
            f"A module takes one {what}, (height, width, channels); received shape {x.shape}. Map "
            "it over a batch: jax.vmap(module)(...)."
        )
