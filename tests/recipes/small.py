"""A recipe of the least that trains: what recipes share, around a network of three layers.

The sharding rule splits two of its kernels and leaves the third whole. It compiles at once, so that
many launches fit into a test.
"""

import dataclasses
import hashlib
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes"))

from training import launch, MAY_CHANGE, train, Training

from equildm.data import AbstractDataset
from equildm.nn import initialised, Linear
from equildm.runtime import fetch, Run, say, to_uint8
from equildm.train import AbstractObjective, Intervals, PowerEMA, TrainState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Training):
    """Options of this recipe."""

    run: Path
    steps: int = 20
    batch_size: int = 8
    warmup: int = 2
    slow: float = 0.0
    """Seconds that a batch takes."""
    every: Intervals = Intervals(log=1, save=5, sample=10**6)


class Batch(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True)
class Points(AbstractDataset):
    """Points and what a fixed linear map makes of them."""

    slow: float

    def __len__(self) -> int:
        return 64

    def arrange(self, order: Any, batch: int, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(64, 256)).astype(np.float32)
        y = x @ rng.normal(size=(256, 32)).astype(np.float32) / 16

        def gather(indices: Any) -> Batch:
            time.sleep(self.slow)
            return Batch(x[np.asarray(indices)], y[np.asarray(indices)])

        return order.batch(batch).map(gather)


class Network(eqx.Module):
    first: Linear
    second: Linear
    third: Linear

    def __init__(self, *, key: Any):
        one, two, three = jax.random.split(key, 3)
        self.first, self.second = Linear(256, 512, key=one), Linear(512, 256, key=two)
        self.third = Linear(256, 32, key=three)

    def __call__(self, x: Any) -> Any:
        return self.third(jax.nn.silu(self.second(jax.nn.silu(self.first(x)))))


class Distance(AbstractObjective):
    """Mean squared error with noise of each example's key on the input."""

    def __call__(self, model: Any, batch: Any, keys: Any) -> Any:
        def one(x: Any, y: Any, key: Any) -> Any:
            return jnp.mean((model(x + 0.1 * jax.random.normal(key, x.shape)) - y) ** 2)

        return jnp.mean(jax.vmap(one)(batch.x, batch.y, keys)), {}


def picture(state: TrainState) -> np.ndarray:
    """What the averaged network makes of points that each process has for itself."""
    made = jax.vmap(state.average())(jnp.ones((8, 256)))
    return to_uint8(np.repeat(np.tanh(fetch(made))[..., None], 3, axis=-1))


def main(config: Config) -> None:
    mesh = launch(config)
    may_change = (*MAY_CHANGE, "slow")
    run = Run.create(config.run, config, "small", resume=config.resume, may_change=may_change)
    model = initialised(lambda: Network(key=jax.random.key(config.seed)), mesh)
    data = Points(config.slow)
    state = train(
        config, run, model, data, Distance(), config.make_optimizer(1e-3), PowerEMA(), picture
    )
    leaves = jax.tree.leaves(fetch(state.pieces()))
    say("state " + hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest())


if __name__ == "__main__":
    main(tyro.cli(Config))
