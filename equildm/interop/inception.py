"""Inception-v3 in the layout that pytorch-fid, torch-fidelity and torchvision share."""

import os
from functools import partial
from pathlib import Path

from ..features import FID_2015, InceptionV3, TORCHVISION
from ..nn import shapes_of
from .mapping import read_weights
from .pairs import linear, OIHW, Pair
from .safetensors import SafetensorsFile

STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")

_3X3DBL = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
_A = (("branch1x1",), ("branch5x5_1", "branch5x5_2"), _3X3DBL, ("branch_pool",))
_B = (("branch3x3",), _3X3DBL)
_C = (
    ("branch1x1",),
    tuple(f"branch7x7_{i}" for i in (1, 2, 3)),
    tuple(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)),
    ("branch_pool",),
)
_D = (("branch3x3_1", "branch3x3_2"), tuple(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)))
_E = (
    ("branch1x1",),
    ("branch3x3_1", "branch3x3_2a", "branch3x3_2b"),
    ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a", "branch3x3dbl_3b"),
    ("branch_pool",),
)
BLOCKS = {
    "Mixed_5b": _A,
    "Mixed_5c": _A,
    "Mixed_5d": _A,
    "Mixed_6a": _B,
    "Mixed_6b": _C,
    "Mixed_6c": _C,
    "Mixed_6d": _C,
    "Mixed_6e": _C,
    "Mixed_7a": _D,
    "Mixed_7b": _E,
    "Mixed_7c": _E,
}
"""The names of each block's convolutions, branch by branch."""

IGNORED = ("*.num_batches_tracked", "AuxLogits.*")

STANDARD = "6726825d"
"""The SHA-256 of `pt_inception-2015-12-05-6726825d.pth`, the file of FID, begins so."""


def inception_table() -> list[Pair]:
    """A pair for every array of `InceptionV3`."""
    names = {f"stem.{i}": name for i, name in enumerate(STEM)}
    for i, (block, branches) in enumerate(BLOCKS.items()):
        for j, branch in enumerate(branches):
            for k, name in enumerate(branch):
                names[f"blocks.{i}.{j}.layers.{k}"] = f"{block}.{name}"
    table = []
    for ours, theirs in names.items():
        table += [
            Pair(f"{ours}.weight", f"{theirs}.conv.weight", OIHW),
            Pair(f"{ours}.scale", f"{theirs}.bn.weight"),
            Pair(f"{ours}.shift", f"{theirs}.bn.bias"),
            Pair(f"{ours}.mean", f"{theirs}.bn.running_mean"),
            Pair(f"{ours}.variance", f"{theirs}.bn.running_var"),
        ]
    return [*table, *linear("head", "fc")]


def load_inception(path: str | os.PathLike[str]) -> InceptionV3:
    """Reads Inception-v3 from safetensors: FID's network, or torchvision's if it has 1000 classes.

    The network's name says where the weights come from, and scores are named after it. Plain "FID"
    is for the file of 2015 alone. The metadata `source_sha256` identifies it, if the conversion
    wrote that (docs/metrics.md shows how).

    **Raises** `ValueError` if the file is a pickle, as the published ones are, or does not fit.
    """
    path = Path(path)
    if path.suffix in {".pth", ".pt", ".bin", ".pkl"}:
        raise ValueError(
            f"{path} is a pickle, which may run any program and is not opened. Where you trust it, "
            "convert it once, as docs/metrics.md shows: `safetensors.torch.save_file(torch.load("
            f"'{path.name}', weights_only=True), 'inception.safetensors')`."
        )
    file = SafetensorsFile(path)
    classes = file.shapes().get("fc.weight", (FID_2015.classes,))[0]
    style = TORCHVISION if classes == TORCHVISION.classes else FID_2015
    standard = style is FID_2015 and file.metadata.get("source_sha256", "").startswith(STANDARD)
    name = "Inception-2015" if standard else "Inception"
    template = shapes_of(partial(InceptionV3, style, name=name))
    return read_weights(template, inception_table(), file, ignored=IGNORED, source=path)
