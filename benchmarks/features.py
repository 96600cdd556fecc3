"""How many images a second the feature networks of FID take, beside PyTorch.

    EQUILDM_PEER_PYTHON=.venv-peers/bin/python python benchmarks/features.py
    python benchmarks/features.py --networks VGG16 --side 256 --images 64

Ours is `pool_features`: bytes in, one vector an image out. The other is the same convolutions in
PyTorch (`peers/features_worker.py`), eager, in float32. They alternate, in one run. The rate of a
large matrix product in each library says how much of the machine is used.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import numpy as np
import tyro

from benchmarks._peer import compare_with, Peer
from equildm.features import AlexNet, pool_features, VGG16
from equildm.runtime import count_flops

NETWORKS = {"VGG16": VGG16, "AlexNet": AlexNet}
MATRIX = 2048
"""Rows and columns of the product."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    networks: tuple[Literal["VGG16", "AlexNet"], ...] = ("VGG16", "AlexNet")
    """Which ones."""
    side: int = 64
    """Side of an image, in pixels."""
    images: int = 256
    """Number of them."""
    batch: int = 32
    """Images at a time."""
    rounds: int = 5
    """Number of times that each is timed."""


def main(c: Config) -> None:
    shape = (c.images, c.side, c.side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    product = jax.jit(lambda a: a @ a)
    matrix = jax.device_put(np.ones((MATRIX, MATRIX), np.float32))
    calls: dict[str, Callable[[], object]] = {
        "product": lambda: jax.block_until_ready(product(matrix))
    }
    operations = {"product": 2 * MATRIX**3}
    one = jax.ShapeDtypeStruct(shape[1:], np.float32)
    for name in c.networks:
        extractor = NETWORKS[name](key=jax.random.key(0))
        calls[name] = functools.partial(pool_features, extractor, images, batch=c.batch)
        operations[name] = c.images * count_flops(extractor, one).total
    sizes = {"side": c.side, "images": c.images, "batch": c.batch, "matrix": MATRIX}
    with Peer("benchmarks/peers/features_worker.py", sizes) as peer:
        for part, call in calls.items():
            comparison = compare_with(peer, part, call, rounds=c.rounds)
            rates = [operations[part] / 1e9 / side.median for side in comparison[:2]]
            print(f"{part}: {comparison}, {rates[0]:.0f} and {rates[1]:.0f} GFLOP/s", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
