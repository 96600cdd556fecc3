"""The pairs of layers that the transformers of diffusers share."""

from collections.abc import Iterable

import numpy as np

from .pairs import linear, OUT_IN, Pair, Transform

Table = Iterable[Pair]


def patch_kernel(patch: int) -> Transform:
    """A convolution (out, in, patch, patch) of their latent; a linear map of ours on patches."""

    def read(kernel: np.ndarray) -> np.ndarray:
        return kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0])

    def write(weight: np.ndarray) -> np.ndarray:
        return weight.reshape(patch, patch, -1, weight.shape[-1]).transpose(3, 2, 0, 1)

    return Transform(read, write)


def embedding(patch: int) -> Table:
    """The latent's patches."""
    return linear("embed.projection", "pos_embed.proj", weight=patch_kernel(patch))


def two_layers(ours: str, theirs: str) -> Table:
    """Two linear layers, such as those of the time."""
    yield from linear(f"{ours}.hidden", f"{theirs}.linear_1")
    yield from linear(f"{ours}.out", f"{theirs}.linear_2")


def scale_and_shift(ours: str, theirs: str) -> Table:
    """A modulation to scale and shift; ours has the shift first."""
    yield Pair(f"{ours}.weight", f"{theirs}.weight", _SWAPPED_OUT_IN)
    yield Pair(f"{ours}.bias", f"{theirs}.bias", _SWAPPED)


def attention(ours: str, theirs: str, *, has_norms: bool = False) -> Table:
    """An attention of one sequence, or to another."""
    for part, short in (("query", "q"), ("key", "k"), ("value", "v")):
        yield from linear(f"{ours}.to_{part}", f"{theirs}.to_{short}")
    yield from linear(f"{ours}.to_out", f"{theirs}.to_out.0")
    if has_norms:
        yield Pair(f"{ours}.norm_query.weight", f"{theirs}.norm_q.weight")
        yield Pair(f"{ours}.norm_key.weight", f"{theirs}.norm_k.weight")


def feed_forward(ours: str, theirs: str) -> Table:
    """A feed-forward layer."""
    yield from linear(f"{ours}.to_hidden", f"{theirs}.net.0.proj")
    yield from linear(f"{ours}.to_out", f"{theirs}.net.2")


def _swapped(a: np.ndarray) -> np.ndarray:
    return np.roll(a, len(a) // 2, axis=0)


_SWAPPED = Transform(_swapped, _swapped)
_SWAPPED_OUT_IN = Transform(lambda a: OUT_IN.read(_swapped(a)), lambda a: _swapped(OUT_IN.write(a)))
