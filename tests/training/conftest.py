"""A network small enough to train in a test, with the UNet's signature."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm._types import TextEmbedding
from equildm.data import LatentBatch
from equildm.nn import Conv, Linear
from equildm.noise import AbstractSchedule, Uniform, UniformTimes, Velocity
from equildm.training import DenoisingObjective


class Network(eqx.Module):
    """Two convolutions and a linear map of the caption."""

    inwards: Conv
    text: Linear
    outwards: Conv

    def __init__(self, *, key):
        ikey, tkey, okey = jax.random.split(key, 3)
        self.inwards = Conv(2, 8, key=ikey)
        self.text = Linear(3, 8, key=tkey)
        self.outwards = Conv(8, 2, key=okey)

    def __call__(self, x, t, text):
        shift = self.text(jnp.mean(text.tokens, 0)) + t / 1000
        return self.outwards(jax.nn.silu(self.inwards(x) + shift.astype(x.dtype)))


class Angle(AbstractSchedule):
    """`alpha = cos(angle)` and `sigma = sin(angle)`, the angle linear in time.

    Without a table to look up, a loss compiles in two thirds of the time.
    """

    steps: int = eqx.field(static=True, default=1000)

    def half_log_snr(self, t):
        return -jnp.log(jnp.tan(0.03 + 1.47 / (self.steps - 1) * t))

    def table(self):
        return -np.log(np.tan(np.linspace(0.03, 1.5, self.steps)))


@pytest.fixture
def network():
    return Network(key=jax.random.key(0))


@pytest.fixture
def objective():
    null = TextEmbedding(*jax.device_put((np.zeros((4, 3), np.float32), np.ones(4, bool))))
    return DenoisingObjective(Angle(), Velocity(), Uniform(), UniformTimes(), null)


@pytest.fixture
def make_batch():
    def make(seed=0, size=8):
        random = np.random.default_rng(seed)
        tokens, latents = (
            random.standard_normal((size, *shape)).astype(np.float32)
            for shape in ((4, 3), (4, 4, 2))
        )
        latents, *text = jax.device_put((latents, tokens, np.ones((size, 4), bool)))
        return LatentBatch(latents, TextEmbedding(*text))

    return make
