"""Safetensors files, read lazily: each tensor is a view of the mapped file."""

import json
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import safe_open, SafetensorError

CODES = {
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

_DTYPES = {code: dtype for dtype, code in CODES.items()}


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
