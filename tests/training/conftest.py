"""A network small enough to train in a test, with the UNet's signature."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from equildm._types import TextEmbedding
from equildm.data import LatentBatch
from equildm.nn import Conv, Linear
from equildm.noise import ScaledLinear, Uniform, UniformTimes, Velocity
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


@pytest.fixture
def network():
    return Network(key=jax.random.key(0))


@pytest.fixture
def objective():
    null = TextEmbedding(jnp.zeros((4, 3)), jnp.ones(4, bool))
    return DenoisingObjective(ScaledLinear(), Velocity(), Uniform(), UniformTimes(), null)


@pytest.fixture
def make_batch():
    def make(seed=0, size=8):
        keys = jax.random.split(jax.random.key(seed), 2)
        tokens = jax.random.normal(keys[0], (size, 4, 3))
        text = TextEmbedding(tokens, jnp.ones((size, 4), bool))
        return LatentBatch(jax.random.normal(keys[1], (size, 4, 4, 2)), text)

    return make
