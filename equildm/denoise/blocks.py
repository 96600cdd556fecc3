"""What a UNet is made of: its stages, its levels, its middle, and its encoder half."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float, PyTree

from .._types import Key
from ..nn import AbstractBlock, split_key

Module = Callable[..., Array]


@eqx.filter_jit
def _once(block: Module, *inputs: PyTree) -> Array:
    """`block(*inputs)`, traced and differentiated once for all blocks of the same shapes.

    The compiler inlines it. Tracing and lowering a step takes 3.6 s instead of 4.9.
    """
    return block(*inputs)


class Stage(AbstractBlock):
    """A residual block and, where the level attends to the caption, a transformer after it."""

    block: Module
    transformer: Module | None

    def __call__(
        self,
        x: Float[Array, "height width in_channels"],
        time: Float[Array, "time_width"],
        context: Float[Array, "keys context_width"],
        mask: Bool[Array, "keys"],
    ) -> Float[Array, "height width out_channels"]:
        x = _once(self.block, x, time)
        return x if self.transformer is None else _once(self.transformer, x, context, mask)


class Level(eqx.Module):
    """The stages at one resolution and the change to the next (`None` at the end)."""

    stages: tuple[Stage, ...]
    resample: Module | None


class Middle(eqx.Module):
    """Residual block, transformer, residual block, at the lowest resolution."""

    first: Stage
    second: Stage

    def __init__(
        self,
        channels: int,
        *,
        resblock: Callable[..., Module],
        transformer: Callable[..., Module],
        key: Key,
    ):
        """**Arguments:**

        - `channels`: in and out.
        - `resblock`: makes a residual block, `resblock(in_channels, out_channels, key=)`.
        - `transformer`: makes a transformer, `transformer(channels, key=)`.
        - `key`: for the initial weights.
        """
        key1, tkey, key2 = split_key(key, 3)
        self.first = Stage(resblock(channels, channels, key=key1), transformer(channels, key=tkey))
        self.second = Stage(resblock(channels, channels, key=key2), None)

    def __call__(
        self,
        x: Float[Array, "height width channels"],
        time: Float[Array, "time_width"],
        context: Float[Array, "keys context_width"],
        mask: Bool[Array, "keys"],
    ) -> Float[Array, "height width channels"]:
        return self.second(self.first(x, time, context, mask), time, context, mask)


class UNetFeatures(NamedTuple):
    """What the encoder half of a UNet passes to its decoder half.

    Residuals of a ControlNet have the same shapes and are added to them.
    """

    skips: tuple[Float[Array, "skip_height skip_width skip_channels"], ...]
    """The outputs of the first convolution, of every stage on the way down and of every halving."""
    middle: Float[Array, "low_height low_width channels"]
    """The output of the middle."""


def encode(
    x: Float[Array, "height width width_channels"],
    time: Float[Array, "time_width"],
    context: Float[Array, "keys context_width"],
    mask: Bool[Array, "keys"],
    down: Sequence[Level],
    middle: Module,
) -> UNetFeatures:
    """Runs the way down and the middle.

    **Arguments:**

    - `x`: the output of the first convolution.
    - `time`: the embedded time, in `x`'s dtype.
    - `context`, `mask`: the caption's tokens, in `x`'s dtype, and which of them are real.
    - `down`, `middle`: see `WidthScaledUNet`.
    """
    skips = [x]
    for level in down:
        for stage in level.stages:
            x = stage(x, time, context, mask)
            skips.append(x)
        if level.resample is not None:
            x = level.resample(x)
            skips.append(x)
    return UNetFeatures(tuple(skips), middle(x, time, context, mask))
