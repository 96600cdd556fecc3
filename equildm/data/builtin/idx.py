"""IDX files, the format of MNIST: a header and one array of bytes, under gzip."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

_BYTES = 0x08
"""Code of unsigned bytes in the third byte of the header."""
_LIMIT = 2**28
"""Bytes that a file may claim to hold: Fashion-MNIST has 47 million, a damaged header anything."""


def read_idx(path: Path, axes: int) -> UInt8[np.ndarray, "..."]:
    """The array in a gzip'd IDX file of unsigned bytes.

    The header is two zeros, the code of the type and the number of axes, one byte each, then the
    length of each axis in four bytes, the largest first.

    **Arguments:**

    - `path`: the file.
    - `axes`: number of axes that the array must have.

    **Raises** `ValueError` naming a file that is damaged or of another kind.
    """
    try:
        with gzip.open(path) as file:
            header = file.read(4 + 4 * axes)
            magic = bytes((0, 0, _BYTES, axes))
            if len(header) < 4 + 4 * axes or header[:4] != magic:
                raise ValueError(
                    f"An IDX file of bytes with {axes} axes begins with {magic.hex(' ')} and its "
                    f"lengths; {path} begins with {header.hex(' ')}. Get the file again."
                )
            shape = [int(length) for length in np.frombuffer(header, ">u4", offset=4)]
            size = math.prod(shape)
            data = file.read(min(size, _LIMIT) + 1)  # one more, to see that the file ends there
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"An IDX file must be readable under gzip; {path} is not ({error}). Get the file again."
        ) from error
    if len(data) != size:
        count = f"{len(data)} bytes" if len(data) < size else "more"
        raise ValueError(
            f"An IDX file holds what its header says, {' x '.join(map(str, shape))} bytes; {path} "
            f"holds {count}. Get the file again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
