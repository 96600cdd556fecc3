"""Between the positions of a latent and the tokens of a transformer."""

import equinox as eqx
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from .._types import Key
from .linear import Linear


def patchify(
    x: Float[Array, "height width channels"], patch: int
) -> Float[Array, "tokens features"]:
    """Squares of `patch x patch` positions as tokens, row by row (Peebles & Xie 2023, figure 4).

    A token holds its positions row by row, each with all its channels.

    **Raises** `ValueError` for sides that `patch` does not divide.
    """
    height, width, _ = x.shape
    if height % patch or width % patch:
        raise ValueError(
            f"A transformer cuts latents into patches of {patch}x{patch} positions, which must "
            f"divide height and width; received {height}x{width}. Crop or pad the image."
        )
    return rearrange(
        x, "(rows p) (columns q) channels -> (rows columns) (p q channels)", p=patch, q=patch
    )


def unpatchify(
    tokens: Float[Array, "tokens features"], height: int, width: int, patch: int
) -> Float[Array, "height width channels"]:
    """The inverse of `patchify`, for a latent of `height` and `width`."""
    return rearrange(
        tokens,
        "(rows columns) (p q channels) -> (rows p) (columns q) channels",
        rows=height // patch,
        columns=width // patch,
        p=patch,
        q=patch,
    )


class PatchEmbed(eqx.Module):
    """A linear map of every patch, which is a convolution with a stride of its own size."""

    projection: Linear
    patch: int = eqx.field(static=True)

    def __init__(self, in_channels: int, width: int, patch: int, *, key: Key):
        """**Arguments:**

        - `in_channels`: of the latent.
        - `width`: of a token.
        - `patch`: side of a patch.
        - `key`: for the initial weights.
        """
        self.projection = Linear(patch * patch * in_channels, width, key=key)
        self.patch = patch

    @property
    def in_channels(self) -> int:
        """Channels of the latent."""
        return self.projection.weight.shape[0] // self.patch**2

    def __call__(self, x: Float[Array, "height width channels"]) -> Float[Array, "tokens features"]:
        return self.projection(patchify(x, self.patch))

    def widened(self, channels: int) -> "PatchEmbed":
        """The same map for latents with `channels` more channels, whose weights are zero."""
        old = self.projection.weight
        by_position = old.reshape(self.patch**2, self.in_channels, -1)
        weight = jnp.pad(by_position, ((0, 0), (0, channels), (0, 0))).reshape(-1, old.shape[1])
        return eqx.tree_at(lambda embed: embed.projection.weight, self, weight)
