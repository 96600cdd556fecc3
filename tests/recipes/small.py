"""The smallest recipe that trains: the library's training around a network of three layers.

The sharding rule splits two of its kernels and leaves the third whole. It compiles at once, so that
many launches fit into a test.
"""

import dataclasses
import hashlib
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float, UInt8

from equildm import Metrics
from equildm.data import AbstractDataset, shuffled
from equildm.images import to_uint8
from equildm.nn import initialised, Linear
from equildm.runtime import gather, log
from equildm.runtime.options import Flat
from equildm.training import (
    AbstractObjective,
    MonitorConfig,
    OptimizerConfig,
    train,
    TrainConfig,
    TrainState,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Options of this recipe."""

    run: Path
    """Folder for everything that this run leaves."""
    train: Flat[TrainConfig] = TrainConfig(
        steps=20,
        batch_size=8,
        optimizer=OptimizerConfig(warmup=2),
        log_every=1,
        save_every=5,
        preview_every=10**6,
        monitor=MonitorConfig(validate_every=4),
    )
    slow: float = 0.0
    """Seconds that a batch takes."""


class Batch(NamedTuple):
    """Points, and what a linear map makes of them."""

    x: Float[Array, "batch 256"]
    y: Float[Array, "batch 32"]


@dataclasses.dataclass(frozen=True)
class Points(AbstractDataset):
    """Points and what a fixed linear map makes of them."""

    slow: float

    def __len__(self) -> int:
        return 64

    def parts(self, batch_size, of, seed):
        order, batch = shuffled(len(self), seed), batch_size // of
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(64, 256)).astype(np.float32)
        y = x @ rng.normal(size=(256, 32)).astype(np.float32) / 16

        def gather(indices) -> Batch:
            time.sleep(self.slow)
            return Batch(x[np.asarray(indices)], y[np.asarray(indices)])

        return order.batch(batch).map(gather)


class Network(eqx.Module):
    """Three linear maps."""

    first: Linear
    second: Linear
    third: Linear

    def __init__(self, *, key):
        one, two, three = jax.random.split(key, 3)
        self.first, self.second = Linear(256, 512, key=one), Linear(512, 256, key=two)
        self.third = Linear(256, 32, key=three)

    def __call__(self, x: Float[Array, "256"]) -> Float[Array, "32"]:
        return self.third(jax.nn.silu(self.second(jax.nn.silu(self.first(x)))))


class Distance(AbstractObjective):
    """Mean squared error, with noise of each example's key on the input."""

    def __call__(self, model: Network, batch: Batch, keys) -> tuple[Float[Array, ""], Metrics]:
        def one(x, y, key):
            return jnp.mean((model(x + 0.1 * jax.random.normal(key, x.shape)) - y) ** 2)

        return jnp.mean(jax.vmap(one)(batch.x, batch.y, keys)), {}


def held_out() -> Batch:
    """Points that are not trained on."""
    x = np.random.default_rng(1).normal(size=(12, 256)).astype(np.float32)
    return Batch(x, x[:, :32])


def preview(state: TrainState) -> UInt8[np.ndarray, "height width 3"]:
    """What the averaged network makes of points that each process has for itself."""
    output = jax.vmap(state.average())(jnp.ones((8, 256)))
    return to_uint8(np.repeat(np.tanh(gather(output))[..., None], 3, axis=-1))


def main(config: Config) -> None:
    mesh = config.train.launch()
    run = config.train.prepare_run(config.run, config, "small", may_change=("slow",))
    run.make()
    model = initialised(lambda: Network(key=jax.random.key(config.train.seed)), mesh)
    state = train(
        model,
        Distance(),
        Points(config.slow),
        config.train.optimizer.build(config.train.steps, 1e-3),
        config.train,
        run=run,
        mesh=mesh,
        preview=preview,
        held_out=held_out(),
    )
    leaves = jax.tree.leaves(gather(state.pieces()))
    log("state " + hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest())


if __name__ == "__main__":
    main(tyro.cli(Config))
