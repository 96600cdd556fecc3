"""Latent -> image."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from ..nn import Conv, ResBlock, split_key, Upsample
from .middle import Middle, Norm


class DecoderLevel(eqx.Module):
    """The residual blocks of one resolution, then the doubling (`None` at the end)."""

    blocks: tuple[ResBlock, ...]
    upsample: Upsample | None

    def __call__(
        self, x: Float[Array, "height width in_channels"]
    ) -> Float[Array, "new_height new_width out_channels"]:
        for block in self.blocks:
            x = block(x)
        return x if self.upsample is None else self.upsample(x)


class Decoder(eqx.Module):
    """Stable Diffusion's image decoder: the encoder reversed, with one more block at each level.

    `conv_in`, `Middle`, then at each level, lowest resolution first, `depth + 1` residual blocks
    and a doubling, norm, SiLU, `conv_out`. The image is not clipped to [-1, 1].
    """

    conv_in: Conv
    middle: Middle
    levels: tuple[DecoderLevel, ...]
    norm_out: Callable[..., Array]
    conv_out: Conv

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        *,
        depth: int,
        norm: Norm,
        key: Key,
    ):
        """**Arguments:**

        - `in_channels`: channels of the latent.
        - `out_channels`: channels of the image.
        - `channels`: channels of each level, the image's resolution first (as for `Encoder`).
        - `depth`: residual blocks of each level of the encoder; one more here.
        - `norm`: makes every norm, `norm(channels)`.
        - `key`: for the initial weights.
        """
        ikey, mkey, okey, *lkeys = split_key(key, 3 + len(channels))
        current = channels[-1]
        self.conv_in = Conv(in_channels, current, key=ikey)
        self.middle = Middle(current, norm=norm, key=mkey)
        levels = []
        for level, lkey in zip(reversed(range(len(channels))), lkeys):
            ukey, *bkeys = split_key(lkey, 2 + depth)
            out, blocks = channels[level], []
            for bkey in bkeys:
                blocks.append(ResBlock(current, out, norm=norm, key=bkey))
                current = out
            double = Upsample(out, key=ukey) if level > 0 else None
            levels.append(DecoderLevel(tuple(blocks), double))
        self.levels = tuple(levels)
        self.norm_out = norm(current)
        self.conv_out = Conv(current, out_channels, key=okey)

    def __call__(
        self, latent: Float[Array, "height width in_channels"]
    ) -> Float[Array, "big_height big_width out_channels"]:
        x = self.middle(self.conv_in(latent))
        for level in self.levels:
            x = level(x)
        return self.conv_out(jax.nn.silu(self.norm_out(x)))
