"""Safetensors files, written atomically and with a few MB in memory at a time."""

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike

from ..runtime import replacing
from .safetensors import CODES
from .transposing import contiguous

THREADS = 3
"""Threads that write. While one waits for the disk, the others turn their tensors."""

CHUNK = 2**22
"""Bytes that are turned and written at a time: so few that they stay in a processor's cache."""


class LazyTensors(Mapping[str, np.ndarray]):
    """Tensors by name, each made on demand; their shapes and types are known in advance."""

    def __init__(
        self, specs: Mapping[str, jax.ShapeDtypeStruct], make: Callable[[str], np.ndarray]
    ):
        """**Arguments:**

        - `specs`: shape and dtype of each.
        - `make`: makes one by name: of this shape, in any order of its axes in memory and in any
            dtype.
        """
        self.specs = specs
        self.make = make

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.specs:
            raise KeyError(name)
        return contiguous(self.make(name), self.specs[name].dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)


def save_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray],
    *,
    metadata: Mapping[str, str] | None = None,
    advance: Callable[[int], object] = lambda size: None,
) -> None:
    """Writes tensors to `path`, which is the old file or the complete new one at any moment.

    Of a `LazyTensors` a few tensors are made at a time; safetensors' own writer needs all.

    **Arguments:**

    - `path`: the file; missing folders are made.
    - `tensors`: arrays of numbers, by name.
    - `metadata`: text for the header, by name.
    - `advance`: called with the bytes of each tensor.
    """
    specs = tensors.specs if isinstance(tensors, LazyTensors) else tensors
    make = tensors.make if isinstance(tensors, LazyTensors) else tensors.__getitem__
    for name, spec in specs.items():
        if np.dtype(spec.dtype) not in CODES:
            raise ValueError(f"Safetensors hold numbers, received {spec.dtype} for '{name}'.")
    # As the library orders them: wide types first, so that every tensor is aligned.
    names = sorted(specs, key=lambda name: (-np.dtype(specs[name].dtype).itemsize, name))
    header: dict[str, object] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    starts, end = {}, 0
    for name in names:
        dtype, starts[name] = np.dtype(specs[name].dtype), end
        end += dtype.itemsize * int(np.prod(specs[name].shape, dtype=np.int64))
        header[name] = {
            "dtype": CODES[dtype],
            "shape": list(specs[name].shape),
            "data_offsets": [starts[name], end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(struct.pack("<Q", len(text)) + text)

        def write(name: str) -> int:
            written = 0
            with part.open("r+b") as file:
                file.seek(8 + len(text) + starts[name])
                for chunk in _chunks(make(name), specs[name].dtype):
                    _check_range(name, chunk)
                    written += file.write(chunk.reshape(-1).view(np.uint8).data)
            return written

        with ThreadPoolExecutor(THREADS) as threads:
            try:
                for size in threads.map(write, names):
                    advance(size)
            finally:
                threads.shutdown(cancel_futures=True)


def _check_range(name: str, numbers: Shaped[np.ndarray, "..."]) -> None:
    """**Raises** `ValueError` naming a tensor that float16 cannot hold."""
    if numbers.dtype == np.float16 and np.isinf(numbers).any():
        raise ValueError(
            f"Float16 holds numbers up to 65504, and '{name}' has larger ones. Use bfloat16 or "
            "float32."
        )


def _chunks(
    array: Shaped[np.ndarray, "*shape"], dtype: DTypeLike
) -> Iterator[Shaped[np.ndarray, "..."]]:
    """The array in C order and in `dtype`, some rows of its first axis at a time."""
    if array.ndim == 0 or array.size == 0 or (array.flags.c_contiguous and array.dtype == dtype):
        with np.errstate(over="ignore"):  # `_check_range` names the tensor
            copy = np.asarray(array, dtype, order="C")
        yield copy
        return
    rows = max(1, CHUNK // (array[0].size * np.dtype(dtype).itemsize))
    for start in range(0, len(array), rows):
        with np.errstate(over="ignore"):
            chunk = contiguous(array[start : start + rows], dtype)
        yield chunk
