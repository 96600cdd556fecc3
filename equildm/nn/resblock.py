"""The residual block of a diffusion UNet."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from ._init import split_key
from .conv import Conv
from .linear import Linear
from .norm import GroupNorm


class ResBlock(eqx.Module):
    """`skip(x) + conv(silu(norm(conv(silu(norm(x))) + W silu(time))))`.

    The residual block of DDPM (Ho et al. 2020, appendix B) and Stable Diffusion. The skip is a
    1x1 convolution where the number of channels changes, else the identity.
    """

    norm1: Callable[..., Array]
    conv1: Conv
    time: Linear | None
    norm2: Callable[..., Array]
    conv2: Conv
    skip: Conv | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        time_width: int | None = None,
        norm: Callable[[int], Callable[..., Array]] = partial(GroupNorm, 32),
        key: Key,
    ):
        """**Arguments:**

        - `in_channels`, `out_channels`: sizes of the last axis before and after.
        - `time_width`: width of the time embedding, or `None` for a block without one (a VAE's).
        - `norm`: makes both norms, `norm(channels)`.
        - `key`: for the initial weights.
        """
        key1, key2, tkey, skey = split_key(key, 4)
        self.norm1 = norm(in_channels)
        self.conv1 = Conv(in_channels, out_channels, key=key1)
        self.time = None if time_width is None else Linear(time_width, out_channels, key=tkey)
        self.norm2 = norm(out_channels)
        self.conv2 = Conv(out_channels, out_channels, key=key2)
        changes = in_channels != out_channels
        self.skip = Conv(in_channels, out_channels, 1, key=skey) if changes else None

    def __call__(
        self,
        x: Float[Array, "height width in_channels"],
        time_embedding: Float[Array, "time_width"] | None = None,
    ) -> Float[Array, "height width out_channels"]:
        if (self.time is None) != (time_embedding is None):
            raise ValueError(
                "A ResBlock takes a time embedding if and only if it was built with time_width; "
                f"received {'none' if time_embedding is None else 'one'}."
            )
        y = self.conv1(jax.nn.silu(self.norm1(x)))
        if self.time is not None and time_embedding is not None:
            y = y + self.time(jax.nn.silu(time_embedding))
        y = self.conv2(jax.nn.silu(self.norm2(y)))
        return y + (x if self.skip is None else self.skip(x))
