"""Image -> features at the latent's resolution."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from ..nn import Conv, Downsample, ResBlock, split_key
from .middle import Middle, Norm


class EncoderLevel(eqx.Module):
    """The residual blocks of one resolution, then the halving (`None` at the end)."""

    blocks: tuple[ResBlock, ...]
    downsample: Downsample | None

    def __call__(
        self, x: Float[Array, "height width in_channels"]
    ) -> Float[Array, "new_height new_width out_channels"]:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class Encoder(eqx.Module):
    """Stable Diffusion's image encoder (Rombach et al. 2022, appendix; from taming-transformers).

    `conv_in`, then at each level `depth` residual blocks and a stride-2 convolution padded on the
    right and the bottom only, `Middle`, norm, SiLU, `conv_out`.
    """

    conv_in: Conv
    levels: tuple[EncoderLevel, ...]
    middle: Middle
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

        - `in_channels`: channels of the image.
        - `out_channels`: channels of the result, twice the latent's.
        - `channels`: channels of each level, the image's resolution first.
        - `depth`: residual blocks of each level.
        - `norm`: makes every norm, `norm(channels)`.
        - `key`: for the initial weights.
        """
        ikey, mkey, okey, *lkeys = split_key(key, 3 + len(channels))
        self.conv_in = Conv(in_channels, channels[0], key=ikey)
        levels, current = [], channels[0]
        for level, (out, lkey) in enumerate(zip(channels, lkeys)):
            dkey, *bkeys = split_key(lkey, 1 + depth)
            blocks = []
            for bkey in bkeys:
                blocks.append(ResBlock(current, out, norm=norm, key=bkey))
                current = out
            last = level == len(channels) - 1
            halve = None if last else Downsample(out, padding=((0, 1), (0, 1)), key=dkey)
            levels.append(EncoderLevel(tuple(blocks), halve))
        self.levels = tuple(levels)
        self.middle = Middle(current, norm=norm, key=mkey)
        self.norm_out = norm(current)
        self.conv_out = Conv(current, out_channels, key=okey)

    def __call__(
        self, image: Float[Array, "height width in_channels"]
    ) -> Float[Array, "small_height small_width out_channels"]:
        x = self.conv_in(image)
        for level in self.levels:
            x = level(x)
        return self.conv_out(jax.nn.silu(self.norm_out(self.middle(x))))
