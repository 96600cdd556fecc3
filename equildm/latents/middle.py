"""The lowest resolution of the VAE, where every position attends to every other."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float

from .._types import Key
from ..nn import CrossAttn, ResBlock, split_key

Norm = Callable[[int], Callable[..., Array]]
"""Makes a norm for a number of channels."""


class SelfAttn(eqx.Module):
    """`x + attention(norm(x))` over the positions of an image: one head as wide as the channels."""

    norm: Callable[..., Array]
    attention: CrossAttn

    def __init__(self, channels: int, *, norm: Norm, key: Key):
        """**Arguments:**

        - `channels`: channels of input and output.
        - `norm`: makes the norm in front, `norm(channels)`.
        - `key`: for the initial weights.
        """
        self.norm = norm(channels)
        self.attention = CrossAttn(channels, channels, 1, qkv_bias=True, key=key)

    def __call__(
        self, x: Float[Array, "height width channels"]
    ) -> Float[Array, "height width channels"]:
        tokens = self.norm(x).reshape(-1, x.shape[-1])
        return x + self.attention(tokens, tokens).reshape(x.shape)


class Middle(eqx.Module):
    """Residual block, self-attention, residual block."""

    first: ResBlock
    attention: SelfAttn
    second: ResBlock

    def __init__(self, channels: int, *, norm: Norm, key: Key):
        """**Arguments:**

        - `channels`: channels of input and output.
        - `norm`: makes every norm, `norm(channels)`.
        - `key`: for the initial weights.
        """
        key1, akey, key2 = split_key(key, 3)
        self.first = ResBlock(channels, channels, norm=norm, key=key1)
        self.attention = SelfAttn(channels, norm=norm, key=akey)
        self.second = ResBlock(channels, channels, norm=norm, key=key2)

    def __call__(
        self, x: Float[Array, "height width channels"]
    ) -> Float[Array, "height width channels"]:
        return self.second(self.attention(self.first(x)))
