"""A foreign layout as data: pairs of names, each with the transform between the two arrays.

Each `Pair` names one of our arrays and one of their tensors. `linear`, `conv` and `norm` make the
pairs of a layer:

    table = [*conv("conv_in", "conv_in"), *norm("norm_out", "conv_norm_out")]
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np


class Transform(NamedTuple):
    """A change of layout: `read` takes their tensor to our array, `write` is its inverse."""

    read: Callable[[np.ndarray], np.ndarray]
    write: Callable[[np.ndarray], np.ndarray]


def _permuted(*read_axes: int) -> Transform:
    write_axes = tuple(int(axis) for axis in np.argsort(read_axes))
    return Transform(lambda a: a.transpose(read_axes), lambda a: a.transpose(write_axes))


SAME = Transform(lambda a: a, lambda a: a)
"""No change: vectors, embedding tables, and whatever is stored as ours is."""

OUT_IN = _permuted(1, 0)
"""A linear map stored (out, in), as PyTorch does; ours is (in, out)."""

OIHW = _permuted(2, 3, 1, 0)
"""A convolution's kernel stored (out, in, height, width); ours is (height, width, in, out)."""

OUT_IN_POINTWISE = Transform(lambda a: a.T[None, None], lambda a: a[0, 0].T)
"""A linear map (out, in) of theirs that is a 1x1 convolution of ours."""

POINTWISE_OUT_IN = Transform(lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None])
"""A 1x1 convolution (out, in, 1, 1) of theirs that is a linear map of ours."""


class Pair(NamedTuple):
    """One of our arrays (its attribute path, with dots) and one of their tensors.

    Some of their tensors hold several of our arrays along the first axis, for instance a fused
    projection to query, key and value. Then each of our arrays has a pair: it is `part` (0, 1, ..)
    of `parts`.

    Of the blocks in a `BlockStack`, one of our arrays holds what are `layers` of theirs: then their
    name has a `{}` for the layer's number.
    """

    ours: str
    theirs: str
    transform: Transform = SAME
    part: int = 0
    parts: int = 1
    layers: range | None = None

    @property
    def names(self) -> list[str]:
        """Their tensors: one, or one for each layer."""
        if self.layers is None:
            return [self.theirs]
        return [self.theirs.format(layer) for layer in self.layers]


def linear(
    ours: str, theirs: str, *, bias: bool = True, weight: Transform = OUT_IN
) -> Iterable[Pair]:
    """The pairs of a layer with `weight` and `bias`."""
    yield Pair(f"{ours}.weight", f"{theirs}.weight", weight)
    if bias:
        yield Pair(f"{ours}.bias", f"{theirs}.bias")


def stacked(pairs: Iterable[Pair], layers: range) -> Iterable[Pair]:
    """The pairs of a block, for a `BlockStack` of blocks that have these numbers there."""
    return (pair._replace(layers=layers) for pair in pairs)


def conv(ours: str, theirs: str, *, bias: bool = True) -> Iterable[Pair]:
    """The pairs of a convolution."""
    return linear(ours, theirs, bias=bias, weight=OIHW)


def norm(ours: str, theirs: str) -> Iterable[Pair]:
    """The pairs of a normalisation with scale and shift."""
    return linear(ours, theirs, weight=SAME)
