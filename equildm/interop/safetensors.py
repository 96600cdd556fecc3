"""Safetensors files: read lazily, written whole or not at all."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open, SafetensorError
from safetensors.numpy import save_file

from ..runtime import replacing


class SafetensorsFile(Mapping[str, np.ndarray]):
    """A file's tensors by name. Each access reads that tensor alone (the file is mapped)."""

    def __init__(self, path: str | os.PathLike[str]):
        """Reads the header only. A header that is cut off, absurdly long or that points outside
        the file is a `ValueError` naming it."""
        self.path = Path(path)
        if not self.path.is_file():
            raise ValueError(f"There is no safetensors file at {self.path}. Give another path.")
        try:
            self._file = safe_open(self.path, framework="numpy")
        except SafetensorError as error:
            raise ValueError(
                f"{self.path} is not a complete safetensors file ({error}). It may have been cut "
                "off while it was copied: fetch it again."
            ) from error
        self._names = list(self._file.keys())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self:
            raise KeyError(name)
        try:
            return self._file.get_tensor(name)
        except (SafetensorError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.path}: tensor '{name}' is stored as "
                f"{self._file.get_slice(name).get_dtype()}, which cannot be read ({error}). "
                "Convert the file to float32, float16 or bfloat16."
            ) from error

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def save_safetensors(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors to `path`, which holds the old file or the whole new one at any moment."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        # `save_file` writes a strided view's memory in the wrong order.
        save_file({name: np.ascontiguousarray(a) for name, a in tensors.items()}, part)
