"""Training adapters: they alone learn, in the trainer that trains networks."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equildm.denoise import WidthScaledUNet
from equildm.nn import new_lora
from equildm.runtime import copied, count_parameters
from equildm.training import DecayEMA, LoRAObjective, make_step, packed, TrainState


def test_only_the_adapters_learn(network, objective, make_batch):
    batch, before = make_batch(seed=1), jax.device_get(network)
    adapters = new_lora(network, 2, layers=("*",), key=jax.random.key(0))
    on_adapters = LoRAObjective(objective, network)
    optimizer, ema = packed(optax.adam(5e-2)), DecayEMA(0.9)
    state = TrainState.create(copied(adapters), optimizer, ema)
    # Two moments and a mean of the adapters, and nothing of the network.
    size = sum(x.size for x in jax.tree.leaves(adapters))
    assert count_parameters((state.optimizer, state.ema)) == 3 * size

    step = make_step(on_adapters, optimizer, ema, key=jax.random.key(1))
    for _ in range(60):
        state, metrics = step(state, batch)
    assert bool(metrics["finite"])
    keys = jax.random.split(jax.random.key(9), 8)
    # Through numpy: one program for all.
    models = jax.device_put(jax.device_get((adapters, state.model, state.average())))
    loss = eqx.filter_jit(on_adapters)
    start, end, averaged = (float(loss(model, batch, keys)[0]) for model in models)
    assert end < 0.9 * start and averaged < 0.95 * start
    expected, _ = eqx.filter_jit(objective)(network, batch, keys)
    np.testing.assert_allclose(start, expected, rtol=1e-6)
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(network), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
@pytest.mark.parametrize("remat", ["none", "blocks", "dots"])
def test_a_unet_with_adapters_is_differentiated(objective, make_batch, remat):
    """Blocks that are traced once and blocks that are computed again hold wrapped layers."""
    sizes = {"multipliers": (1, 2), "depths": (2, 1), "transformer_depths": (1, 0), "groups": 8}
    unet = WidthScaledUNet(
        16, in_channels=2, out_channels=2, context_width=3, **sizes, key=jax.random.key(0)
    )
    adapters = new_lora(unet, 2, layers=("*",), key=jax.random.key(0))
    objective = dataclasses.replace(objective, remat=remat)
    batch, keys = make_batch(size=2), jax.random.split(jax.random.key(0), 2)
    batch = batch._replace(latents=jnp.zeros((2, 8, 8, 2)))
    loss = lambda adapters: LoRAObjective(objective, unet)(adapters, batch, keys)[0]
    assert jax.eval_shape(jax.grad(loss), adapters) == eqx.filter_eval_shape(lambda: adapters)
