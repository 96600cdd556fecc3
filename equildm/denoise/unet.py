"""The text-to-image UNet whose only free size is its width."""

from collections.abc import Callable, Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key, Latent, TextEmbedding
from ..nn import (
    Conv,
    Downsample,
    GroupNorm,
    ResBlock,
    SpatialTransformer,
    split_key,
    TimeEmbedding,
    Upsample,
)
from .backbone import AbstractBackbone
from .blocks import encode, Level, Middle, Module, Stage, UNetFeatures


class WidthScaledUNet(AbstractBackbone):
    """Stable Diffusion's UNet at any width (the paper, figure 2 and table 1).

    With the paper's defaults the channels of the four levels are `[c, 2c, 4c, 4c]`: two residual
    blocks a level on the way down and three on the way up, a transformer after each on the first
    three levels and in the middle, a time embedding of `4c`, 8 heads at every width.

    Every part is made by an argument, so that a network with another attention, norm, residual
    block or middle is one call and no edit (see the guide, "Composing a UNet").
    """

    conv_in: Conv
    time: TimeEmbedding
    down: tuple[Level, ...]
    middle: Module
    up: tuple[Level, ...]
    norm_out: Module
    conv_out: Conv
    context_width: int = eqx.field(static=True)

    def __init__(
        self,
        width: int,
        *,
        in_channels: int = 4,
        out_channels: int = 4,
        context_width: int = 1024,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        depths: Sequence[int] = (2, 2, 2, 2),
        transformer_depths: Sequence[int] = (1, 1, 1, 0),
        heads: int | Sequence[int] = 8,
        groups: int = 32,
        resblock: Callable[..., Module] = ResBlock,
        transformer: Callable[..., Module] = SpatialTransformer,
        norm: Callable[[int], Module] | None = None,
        middle: Callable[..., Module] = Middle,
        key: Key,
    ):
        """**Arguments:**

        - `width`: the base number of channels, `c`.
        - `in_channels`, `out_channels`: channels of the latent in and of the prediction out.
        - `context_width`: width of a caption's token embeddings.
        - `multipliers`: channels of each level, in multiples of `width`, highest resolution first.
        - `depths`: residual blocks of each level on the way down; one more on the way up.
        - `transformer_depths`: transformer blocks after each residual block of a level; 0 for a
            level that does not attend. The middle has one transformer of at least one block.
        - `heads`: attention heads, one number or one for each level.
        - `groups`: groups of the norms; must divide every level's channels.
        - `resblock`: `resblock(in_channels, out_channels, time_width=, norm=, key=)`.
        - `transformer`: `transformer(channels, context_width, heads, depth=, norm=, key=)`.
        - `norm`: `norm(channels)` for every norm; by default `GroupNorm(groups)`, with Stable
            Diffusion's epsilon of 1e-5 in residual blocks and 1e-6 before transformers.
        - `middle`: `middle(channels, resblock=, transformer=, key=)`.
        - `key`: for the initial weights.
        """
        heads = (heads,) * len(multipliers) if isinstance(heads, int) else tuple(heads)
        _check_levels(multipliers, depths, transformer_depths, heads)
        _check_groups(width, multipliers, groups, norm)
        keys = iter(split_key(key, 4 * (sum(depths) + len(depths)) + 8))
        time_width = 4 * width
        make_block = partial(
            resblock, time_width=time_width, norm=norm or partial(GroupNorm, groups)
        )
        transformer_norm = norm or partial(GroupNorm, groups, eps=1e-6)

        def make_transformer(channels: int, level: int, key: Key) -> Module:
            depth = max(1, transformer_depths[level])
            return transformer(
                channels, context_width, heads[level], depth=depth, norm=transformer_norm, key=key
            )

        def make_stage(in_channels: int, out_channels: int, level: int) -> Stage:
            block = make_block(in_channels, out_channels, key=next(keys))
            attends = transformer_depths[level] > 0
            return Stage(
                block, make_transformer(out_channels, level, next(keys)) if attends else None
            )

        channels = [width * multiplier for multiplier in multipliers]
        last = len(channels) - 1
        self.conv_in = Conv(in_channels, width, key=next(keys))
        self.time = TimeEmbedding(width, time_width, key=next(keys))

        skips, current, down = [width], width, []
        for level, out in enumerate(channels):
            stages = []
            for _ in range(depths[level]):
                stages.append(make_stage(current, out, level))
                current = out
                skips.append(out)
            resample = Downsample(out, key=next(keys)) if level < last else None
            if resample is not None:
                skips.append(out)
            down.append(Level(tuple(stages), resample))
        self.down = tuple(down)

        self.middle = middle(
            current,
            resblock=make_block,
            transformer=partial(make_transformer, level=last),
            key=next(keys),
        )

        up = []
        for level, out in reversed(list(enumerate(channels))):
            stages = []
            for _ in range(depths[level] + 1):
                stages.append(make_stage(current + skips.pop(), out, level))
                current = out
            upsample = Upsample(out, key=next(keys)) if level > 0 else None
            up.append(Level(tuple(stages), upsample))
        self.up = tuple(up)

        self.norm_out = norm(width) if norm else GroupNorm(groups, width)
        self.conv_out = Conv(width, out_channels, key=next(keys))
        self.context_width = context_width

    def at(
        self,
        x: Latent,
        time: Float[Array, "time_width"],
        text: TextEmbedding,
        residuals: UNetFeatures | None = None,
    ) -> Float[Array, "height width out_channels"]:
        """The same as the call, for a time that is already embedded.

        `residuals` are added to the skips and to the middle's output (Zhang et al. 2023, section
        3.2; see `ControlNet`). None adds nothing.
        """
        self._check(x, text)
        time = time.astype(x.dtype)
        context = text.tokens.astype(x.dtype)

        features = encode(self.conv_in(x), time, context, text.mask, self.down, self.middle)
        if residuals is not None:
            features = _added(features, residuals)
        skips, x = list(features.skips), features.middle
        for level in self.up:
            for stage in level.stages:
                x = stage(jnp.concatenate([x, skips.pop()], -1), time, context, text.mask)
            if level.resample is not None:
                x = level.resample(x)
        return self.conv_out(jax.nn.silu(self.norm_out(x)))

    def widened(self, channels: int) -> "WidthScaledUNet":
        """See `AbstractBackbone`."""
        padding = ((0, 0), (0, 0), (0, channels), (0, 0))
        weight = jnp.pad(self.conv_in.weight, padding)
        return eqx.tree_at(lambda network: network.conv_in.weight, self, weight)

    def _check(self, x: Latent, text: TextEmbedding) -> None:
        height, width, channels = x.shape
        in_channels = self.conv_in.weight.shape[2]
        if channels != in_channels:
            raise ValueError(
                f"The UNet takes latents of {in_channels} channels, received shape {x.shape}. "
                "Use the VAE that it was trained with, or build it with that in_channels."
            )
        factor = 2 ** (len(self.down) - 1)
        if height % factor or width % factor:
            raise ValueError(
                f"The UNet halves the latent {len(self.down) - 1} times, so that height and width "
                f"must divide by {factor}; received {height}x{width}. Crop or pad the image."
            )
        if text.tokens.shape[-1] != self.context_width:
            raise ValueError(
                f"The UNet attends to token embeddings of width {self.context_width}, received "
                f"{text.tokens.shape[-1]}. Use the text encoder that it was trained with, or build "
                "it with that context_width."
            )


def _added(features: UNetFeatures, residuals: UNetFeatures) -> UNetFeatures:
    shapes, others = (jax.tree.map(jnp.shape, tuple(tree)) for tree in (features, residuals))
    if shapes != others:
        raise ValueError(
            f"Residuals have the shapes of the UNet's features, {shapes}; received {others}. Make "
            "them with a ControlNet of this network."
        )
    return jax.tree.map(lambda feature, r: feature + r.astype(feature.dtype), features, residuals)


def _check_levels(multipliers, depths, transformer_depths, heads) -> None:
    lengths = [len(multipliers), len(depths), len(transformer_depths), len(heads)]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(
            "multipliers, depths, transformer_depths and heads need one entry for each level, "
            f"received {lengths} entries. Give all four the same length."
        )


def _check_groups(width, multipliers, groups, norm) -> None:
    if groups < 1:
        raise ValueError(f"A norm has at least one group, received groups={groups}.")
    if norm is None and any(width * multiplier % groups for multiplier in multipliers):
        raise ValueError(
            f"Every level's channels must divide by the norm's groups, received width={width}, "
            f"multipliers={tuple(multipliers)} and groups={groups}. Choose a width that is a "
            f"multiple of {groups}, or fewer groups."
        )
