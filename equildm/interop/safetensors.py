"""Safetensors files, read lazily, and written atomically with few tensors in memory at a time."""

import json
import mmap
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
from safetensors import safe_open, SafetensorError

from ..runtime import replacing
from .transposing import contiguous

AHEAD = 2
"""Tensors that are made while another one is written."""

_CODES = {
    np.dtype(dtype): code
    for dtype, code in {
        "float64": "F64",
        "int64": "I64",
        "uint64": "U64",
        "float32": "F32",
        "int32": "I32",
        "uint32": "U32",
        "float16": "F16",
        ml_dtypes.bfloat16: "BF16",
        "int16": "I16",
        "uint16": "U16",
        "int8": "I8",
        "uint8": "U8",
        "bool": "BOOL",
    }.items()
}
"""numpy's types as the format's header names them."""

_DTYPES = {code: dtype for dtype, code in _CODES.items()}


class SafetensorsFile(Mapping[str, np.ndarray]):
    """A file's tensors by name, each a read-only view of the mapped file: nothing is copied."""

    def __init__(self, path: str | os.PathLike[str]):
        """Reads the header only. A header that is cut off, absurdly long or that points outside
        the file is a `ValueError` naming it."""
        self.path = Path(path)
        if not self.path.is_file():
            raise ValueError(f"There is no safetensors file at {self.path}. Give another path.")
        try:
            with safe_open(self.path, framework="numpy"):
                pass  # The library has checked the header: lengths, offsets, no overlap.
            with self.path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            (length,) = struct.unpack_from("<Q", self._bytes)
            self._data = 8 + length
            self._entries = json.loads(self._bytes[8 : self._data])
            self.metadata: dict[str, str] = self._entries.pop("__metadata__", None) or {}
            if not all(isinstance(entry, dict) for entry in self._entries.values()):
                raise ValueError("its header is not one of objects")
        except (SafetensorError, ValueError) as error:
            raise ValueError(
                f"{self.path} is not a complete safetensors file ({error}). It may have been cut "
                "off while it was copied: fetch it again."
            ) from error

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise ValueError(
                f"{self.path}: tensor '{name}' is stored as {entry['dtype']}, which cannot be "
                "read. Convert the file to float32, float16 or bfloat16."
            )
        start, end = entry["data_offsets"]
        flat = np.frombuffer(self._bytes, np.uint8, end - start, self._data + start)
        return flat.view(dtype).reshape(entry["shape"])

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor, from the header."""
        return {name: tuple(entry["shape"]) for name, entry in self._entries.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class LazyTensors(Mapping[str, np.ndarray]):
    """Tensors by name, each made on demand; their shapes and types are known in advance."""

    def __init__(
        self, specs: Mapping[str, jax.ShapeDtypeStruct], make: Callable[[str], np.ndarray]
    ):
        """**Arguments:**

        - `specs`: shape and dtype of each.
        - `make`: makes one by name.
        """
        self.specs = specs
        self._make = make

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.specs:
            raise KeyError(name)
        return self._make(name)

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

    Of a `LazyTensors` a few tensors are in memory at a time; safetensors' own writer needs all.

    **Arguments:**

    - `path`: the file; missing folders are made.
    - `tensors`: arrays of numbers, by name.
    - `metadata`: text for the header, by name.
    - `advance`: called with the bytes of each tensor.
    """
    specs = tensors.specs if isinstance(tensors, LazyTensors) else tensors
    for name, spec in specs.items():
        if np.dtype(spec.dtype) not in _CODES:
            raise ValueError(f"Safetensors hold numbers, received {spec.dtype} for '{name}'.")
    # As the library orders them: wide types first, so that every tensor is aligned.
    names = sorted(specs, key=lambda name: (-np.dtype(specs[name].dtype).itemsize, name))
    header: dict[str, object] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in names:
        dtype, start = np.dtype(specs[name].dtype), end
        end += dtype.itemsize * int(np.prod(specs[name].shape, dtype=np.int64))
        header[name] = {
            "dtype": _CODES[dtype],
            "shape": list(specs[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in _made_ahead(tensors, names):
            file.write(array.reshape(-1).view(np.uint8).data)
            advance(array.nbytes)


def _made_ahead(tensors: Mapping[str, np.ndarray], names: Sequence[str]) -> Iterator[np.ndarray]:
    """The tensors in C order. While one is written, threads make the next ones."""
    with ThreadPoolExecutor(AHEAD) as threads:
        waiting: deque[Future[np.ndarray]] = deque()
        try:
            for name in names:
                waiting.append(threads.submit(lambda name: contiguous(tensors[name]), name))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)
