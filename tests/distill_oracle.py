"""A network small enough to be distilled in a test, from a teacher that is exact."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from oracle import mixture

from equildm.data import LatentBatch
from equildm.distill import Student
from equildm.nn import Linear
from equildm.noise import ScaledLinear, Velocity
from equildm.runtime import copied
from equildm.sampling import sample
from equildm.training import DecayEMA, make_step, TrainState

SHAPE = (1, 1, 2)
TEACHER = mixture(SHAPE)
"""Its conditions are weights of its three components."""
SCHEDULE = ScaledLinear()
STUDENT = Student(SCHEDULE, Velocity())
NULL = jnp.ones(3) / 3
NOISE = jax.random.normal(jax.random.key(77), (256, *SHAPE))
KEYS = jax.random.split(jax.random.key(78), 256)
PLAIN = jnp.tile(NULL, (256, 1))


class Network(eqx.Module):
    """A multilayer perceptron of latent, time and conditions of `width` numbers."""

    layers: tuple[Linear, ...]

    def __init__(self, width: int = 3, *, key=None):
        keys = jax.random.split(jax.random.key(0) if key is None else key, 4)
        sizes = (2 + 8 + width, 64, 64, 64, 2)
        pairs = zip(sizes[:-1], sizes[1:], keys, strict=True)
        self.layers = tuple(Linear(a, b, key=k) for a, b, k in pairs)

    def __call__(self, x, t, condition):
        phases = jnp.pi * jnp.arange(4) * t / 1000
        conditions = [jnp.ravel(leaf) for leaf in jax.tree.leaves(condition)]
        inputs = [x.ravel(), jnp.cos(phases), jnp.sin(phases), *conditions]
        hidden = jnp.concatenate(inputs)
        for layer in self.layers[:-1]:
            hidden = jax.nn.silu(layer(hidden))
        return self.layers[-1](hidden).reshape(x.shape)


@jax.jit
def draw(seed):
    """Data of all components."""
    latents = jax.vmap(TEACHER.draw)(jax.random.split(jax.random.key(seed), 256))
    return LatentBatch(latents, PLAIN)


def trained(objective, network, at, *, batches=draw):
    """The states after the numbers of updates `at`; at the last the rate has fallen to 0."""
    optimizer, ema = optax.adam(optax.cosine_decay_schedule(2e-3, at[-1])), DecayEMA(0.95)
    step = make_step(objective, optimizer, ema, key=jax.random.key(3))
    state = TrainState.create(network, optimizer, ema)
    states = []
    for i in range(at[-1] + 1):
        if i in at:
            states.append(copied(state))
        if i < at[-1]:
            state, _ = step(state, batches(i))
    return states


@eqx.filter_jit
def samples(denoiser, levels, solver, conditions=PLAIN):
    """One sample for each of `NOISE`; its own key for noise that is added."""

    def one(noise, key, condition):
        pair = (condition, NULL)
        return sample(denoiser, noise, levels, solver, condition=pair, key=key)

    return jax.vmap(one)(NOISE, KEYS, conditions)


def distance(a, b):
    """Root mean square."""
    return float(np.sqrt(np.mean((np.asarray(a) - np.asarray(b)) ** 2)))
