"""A model's weights in a folder: one safetensors file, or several with an index, as on hubs.

vae/diffusion_pytorch_model.safetensors
unet/diffusion_pytorch_model-00001-of-00002.safetensors
unet/diffusion_pytorch_model-00002-of-00002.safetensors
unet/diffusion_pytorch_model.safetensors.index.json
"""

import json
import os
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np

from ..runtime import write_atomic
from .config import BROKEN
from .safetensors import SafetensorsFile
from .saving import LazyTensors, save_safetensors

DIFFUSERS, TRANSFORMERS = "diffusion_pytorch_model", "model"
"""The two libraries' names of a weights file."""

VARIANTS = ("", ".fp16", ".bf16")
"""What diffusers' `variant=` puts into a file's name. The first that is there is read."""

MAX_BYTES = 10 * 10**9
"""The largest file that is written, as in diffusers."""


def open_weights(folder: str | os.PathLike[str], stem: str) -> Mapping[str, np.ndarray]:
    """The tensors of `stem.safetensors`, or of the files that its index names, read one by one.

    Without such a file, the half-precision variants `stem.fp16.safetensors` and
    `stem.bf16.safetensors` are read. A pickle (`.bin`) is never opened.

    **Raises** `ValueError` naming the file that is missing, broken or does not match its index.
    """
    folder = Path(folder)
    for variant in VARIANTS:
        file = folder / f"{stem}{variant}.safetensors"
        index = folder / f"{stem}.safetensors.index{variant}.json"
        if file.is_file():
            return SafetensorsFile(file)
        if index.is_file():
            return _open_index(index)
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
    hint = (
        f" It holds {pickles[0]}, a pickle, which may run any program and is not opened: save the "
        "model as safetensors where you trust it (`save_pretrained(..., safe_serialization=True)`)."
        if pickles
        else " Give the folder of one model, such as the `unet` of a pipeline."
    )
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    there = f" There is {', '.join(others)}: rename it if it is meant." if others else ""
    raise ValueError(f"There is no {stem}.safetensors in {folder}.{there}{hint}")


class Below(Mapping[str, np.ndarray]):
    """The tensors whose names start with a prefix, by the rest of their names."""

    def __init__(self, tensors: Mapping[str, np.ndarray], prefix: str):
        """**Arguments:** the tensors and the prefix."""
        self._tensors, self._prefix = tensors, prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return self._tensors[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (name[start:] for name in self._tensors if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


_PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}


def save_weights(
    folder: str | os.PathLike[str],
    stem: str,
    tensors: LazyTensors,
    *,
    max_bytes: int = MAX_BYTES,
    advance: Callable[[int], object] = lambda size: None,
) -> None:
    """Writes tensors where `open_weights` and the public libraries look for them.

    **Arguments:**

    - `folder`: created where it does not exist.
    - `stem`: the file's name without `.safetensors`.
    - `tensors`: by name.
    - `max_bytes`: a model of more bytes is split into several files with an index.
    - `advance`: called with the bytes of each tensor.
    """
    folder = Path(folder)
    sizes = {name: _size(spec) for name, spec in tensors.specs.items()}
    shards: list[list[str]] = [[]]
    for name, size in sizes.items():
        if shards[-1] and sum(sizes[other] for other in shards[-1]) + size > max_bytes:
            shards.append([])
        shards[-1].append(name)
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if len(shards) == 1:
        save_safetensors(single, tensors, advance=advance)
        index.unlink(missing_ok=True)
        return
    files = [f"{stem}-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for file, names in zip(files, shards, strict=True):
        part = LazyTensors({name: tensors.specs[name] for name in names}, tensors.make)
        save_safetensors(folder / file, part, advance=advance)
    file_of = {name: file for file, names in zip(files, shards, strict=True) for name in names}
    content = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": file_of}
    write_atomic(index, json.dumps(content, indent=2, sort_keys=True) + "\n")
    single.unlink(missing_ok=True)


def _size(spec: jax.ShapeDtypeStruct) -> int:
    return int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize


def _open_index(index: Path) -> Mapping[str, np.ndarray]:
    try:
        file_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(file_of.values()))
        if not files or any(Path(file).name != file for file in files):
            raise ValueError("it names no files beside it")
    except BROKEN as error:
        raise ValueError(
            f"{index} must map each tensor to a file beside it, and does not: {error!r}. Fetch it "
            "again."
        ) from error
    opened = {file: SafetensorsFile(index.parent / file) for file in files}
    for name, file in file_of.items():
        if name not in opened[file]:
            raise ValueError(f"{index} says that {file} holds '{name}', which it does not.")
    return ChainMap(*opened.values())  # type: ignore[arg-type]  # none of them is written to
