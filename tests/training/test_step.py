"""One step: what it learns, what it keeps, and that it is the same however it is cut up."""

import dataclasses
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import called, others_slow

from equildm.nn import Linear
from equildm.runtime import copied
from equildm.runtime.platform import compiling_for
from equildm.training import adamw, DecayEMA, make_step, PowerEMA, rematerialise, TrainState


def run(network, objective, batches, *, optimizer=None, ema=None, parts=1):
    optimizer, ema = optimizer or adamw(1e-2), ema or PowerEMA()
    step = make_step(objective, optimizer, ema, key=jax.random.key(1), parts=parts)
    state = TrainState.create(copied(network), optimizer, ema)
    history = []
    for batch in batches:
        state, metrics = step(state, batch)
        history.append(metrics)
    return state, history


def test_the_loss_falls(network, objective, make_batch):
    batch, keys = make_batch(), jax.random.split(jax.random.key(9), 8)
    state, _ = run(network, objective, [batch] * 40)
    loss = eqx.filter_jit(objective)
    before, after = (float(loss(model, batch, keys)[0]) for model in (network, state.model))
    assert after < 0.9 * before


@pytest.mark.parametrize("count", others_slow([2, 4], 2))
def test_parts_of_a_batch_make_the_same_step(network, objective, make_batch, count):
    plain = {"optimizer": optax.sgd(0.1), "ema": DecayEMA(0.9)}
    complete, (first,) = run(network, objective, [make_batch()], **plain)
    parts, (second,) = run(network, objective, [make_batch()], **plain, parts=count)
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-6)
    for a, b in zip(jax.tree.leaves(complete.model), jax.tree.leaves(parts.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_batch_that_does_not_divide_is_refused(network, objective, make_batch):
    with pytest.raises(ValueError, match="batch of 8 and 3 parts"):
        run(network, objective, [make_batch()], parts=3)


def test_a_step_that_is_not_finite_changes_nothing(network, objective, make_batch):
    good, bad = make_batch(), make_batch()
    latents = np.array(bad.latents)
    latents[0] = np.nan
    bad = bad._replace(latents=latents)
    once, _ = run(network, objective, [good])
    both, history = run(network, objective, [good, bad])
    assert bool(history[0]["finite"]) and not bool(history[1]["finite"])
    assert int(both.step) == 2
    for a, b in zip(jax.tree.leaves(once.model), jax.tree.leaves(both.model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_randomness_follows_from_the_step_alone(network, objective, make_batch):
    batches = [make_batch(i) for i in range(4)]
    _, history = run(network, objective, batches)
    optimizer, ema = adamw(1e-2), PowerEMA()
    step = make_step(objective, optimizer, ema, key=jax.random.key(1))
    state = TrainState.create(copied(network), optimizer, ema)
    for batch in batches[:2]:
        state, _ = step(state, batch)
    pieces = jax.tree.map(np.asarray, state.pieces())
    resumed = TrainState.create(network, optimizer, ema).with_pieces(
        jax.tree.map(jnp.asarray, pieces)
    )
    for batch, expected in zip(batches[2:], history[2:], strict=True):
        resumed, metrics = step(resumed, batch)
        assert float(metrics["loss"]) == float(expected["loss"])


def test_dropout_replaces_the_caption(network, objective, make_batch):
    batch = make_batch()
    keys = jax.random.split(jax.random.key(0), 8)
    changed = batch._replace(text=make_batch(5).text)

    @jax.jit
    def losses(batch):
        droppings = (dataclasses.replace(objective, dropout=rate) for rate in (0.0, 1.0))
        return [dropping(network, batch, keys)[0] for dropping in droppings]

    (kept, dropped), (other_kept, other_dropped) = losses(batch), losses(changed)
    assert float(kept) != float(other_kept)
    assert float(dropped) == float(other_dropped)


def test_a_share_that_is_none_is_refused(objective):
    with pytest.raises(ValueError, match="between 0 and 1"):
        dataclasses.replace(objective, dropout=1.5)


def test_what_broadcasting_would_hide_is_refused(network, objective, make_batch):
    """A prediction of one channel, and a null caption of one token."""
    keys = jax.random.split(jax.random.key(0), 8)
    narrow = lambda x, t, text: network(x, t, text)[..., :1]
    with pytest.raises(ValueError, match=r"its latent, \(4, 4, 2\); received .* \(4, 4, 1\)"):
        eqx.filter_eval_shape(objective, narrow, make_batch(), keys)
    null = jax.tree.map(lambda x: x[:1], objective.null_text)
    with pytest.raises(ValueError, match="structure and shapes"):
        other = dataclasses.replace(objective, null_text=null)
        eqx.filter_eval_shape(other, network, make_batch(), keys)


def test_the_loss_is_its_formula(network, objective, make_batch):
    """`mean((v_hat - v)^2)` with the noise and time that the keys give, in numpy."""
    batch, keys = make_batch(), jax.random.split(jax.random.key(3), 8)
    schedule, total = objective.schedule, 0.0

    @jax.jit
    @jax.vmap
    def draw(key):
        tkey, nkey, dkey = jax.random.split(key, 3)
        t, noise = objective.times(tkey, schedule), jax.random.normal(nkey, (4, 4, 2))
        return t, schedule.alpha(t), schedule.sigma(t), noise, jax.random.uniform(dkey)

    drawn = zip(*(np.asarray(values, np.float64) for values in draw(keys)), strict=True)
    for i, (t, alpha, sigma, noise, chance) in enumerate(drawn):
        clean = np.asarray(batch.latents, np.float64)[i]
        text = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], batch.text)
        if chance < 0.1:
            text = objective.null_text
        x = np.asarray(alpha * clean + sigma * noise, np.float32)
        output = called(network, x, np.float32(t), text)
        error = np.asarray(output, np.float64) - (alpha * noise - sigma * clean)
        total += np.mean(error**2) / 8
    loss, _ = eqx.filter_jit(objective)(network, batch, keys)
    np.testing.assert_allclose(float(loss), total, rtol=1e-5)


def test_two_averages_are_kept(network, objective, make_batch):
    state, _ = run(network, objective, [make_batch(i) for i in range(5)], ema=PowerEMA())
    assert len(state.ema) == 2
    shorter, longer = (jax.tree.leaves(state.average(i))[0] for i in (0, 1))
    start, now = jax.tree.leaves(network)[0], jax.tree.leaves(state.model)[0]
    off = lambda leaf: np.linalg.norm(np.asarray(leaf) - np.asarray(now))
    assert off(shorter) < off(longer) < off(start)


def test_gpus_keep_the_state_in_its_order(network, objective, make_batch):
    """A gradient that arrives in another order would have the moments and averages transposed.

    Kernels of convolutions are ordered by themselves, before the update.
    """

    def orders(name):
        optimizer, ema = adamw(1e-2), DecayEMA(0.9)
        step = make_step(objective, optimizer, ema, key=jax.random.key(1))
        state = TrainState.create(network, optimizer, ema)
        with compiling_for(name):
            text = str(jax.make_jaxpr(lambda: step(state, make_batch())[1])())
        return text.count("layout_con"), len(re.findall(r"f32\[3,3,.*\] = optimization_bar", text))

    assert orders("gpu") == (len(jax.tree.leaves(network)), 2)
    assert orders("cpu") == (0, 0)


def test_what_has_no_blocks_is_not_computed_again():
    """It was returned as it is, and stored every activation."""
    layer = Linear(2, 3, key=jax.random.key(0))
    with pytest.raises(ValueError, match="needs blocks that are computed again, and a Linear has"):
        rematerialise(layer, "blocks")
    assert rematerialise(layer, "none") is layer
