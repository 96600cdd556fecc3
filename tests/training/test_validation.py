"""The validation loss: its value, and that neither devices, batches nor the training change it."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import run_python

from equildm.noise import corrupt
from equildm.runtime import copied, make_mesh
from equildm.training import (
    AbstractObjective,
    DecayEMA,
    make_step,
    MatchingWeights,
    PriorPreservation,
    TrainState,
    Validation,
)
from equildm.training.validation import _chunk_size, _SEED, PARTS


def new_state(network, steps=2, objective=None, batch=None):
    """A state whose weights and average differ."""
    optimizer, ema = optax.sgd(0.1), DecayEMA(0.9)
    state = TrainState.create(copied(network), optimizer, ema, mesh=make_mesh())
    step = make_step(objective, optimizer, ema, key=jax.random.key(0))
    for _ in range(steps):
        state, _ = step(state, batch)
    return state


@pytest.fixture
def state(network, objective, make_batch):
    return new_state(network, objective=objective, batch=make_batch())


def validation(objective, batch, batch_size=8):
    held_out = jax.tree.map(np.asarray, batch)
    return Validation(objective, held_out, mesh=make_mesh(), batch_size=batch_size)


@eqx.filter_jit
def direct(objective, network, batch):
    """The mean loss of each part of the times, by the formula."""
    schedule = objective.schedule

    def loss(part, i, clean, text):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(_SEED), part), i)
        time_key, noise_key, _ = jax.random.split(key, 3)
        t = (schedule.steps - 1) * (part + jax.random.uniform(time_key)) / PARTS
        noise = jax.random.normal(noise_key, clean.shape)
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        output = network(corrupt(clean, noise, alpha, sigma), t, text)
        target = objective.prediction.target(clean, noise, alpha, sigma)
        return jnp.mean((output - target) ** 2)

    numbers, latents, text = jnp.arange(len(batch.latents)), batch.latents, batch.text
    losses = lambda part: jax.vmap(loss, (None, 0, 0, 0))(part, numbers, latents, text)
    return jnp.mean(jax.lax.map(losses, jnp.arange(PARTS)), axis=1)


def test_it_is_the_loss_of_the_formula(state, objective, make_batch):
    """With caption dropout in the training, and a last chunk that is smaller."""
    batch = make_batch(seed=5, size=7)
    objective = dataclasses.replace(objective, dropout=0.9)
    values = validation(objective, batch, batch_size=6)(state)
    parts = np.asarray(direct(objective, state.average(), batch))
    for part, expected in enumerate(parts, start=1):
        assert values[f"validation_loss_ema_{part}"] == pytest.approx(expected, rel=1e-5)
    assert values["validation_loss_ema"] == pytest.approx(np.mean(parts), rel=1e-5)
    trained = np.mean(np.asarray(direct(objective, state.model, batch)))
    assert values["validation_loss"] == pytest.approx(trained, rel=1e-5)
    assert values["validation_loss"] != values["validation_loss_ema"]


def test_it_is_the_same_each_time_and_in_other_batches(state, objective, make_batch):
    batch = make_batch(seed=5, size=6)
    values = validation(objective, batch)(state)
    assert validation(objective, batch)(state) == values
    for size in (1, 4, 100):
        other = validation(objective, batch, batch_size=size)(state)
        assert other == pytest.approx(values, rel=1e-5)


def test_it_leaves_the_state_as_it_is(state, objective, make_batch):
    before = jax.tree.map(np.asarray, eqx.filter(state, eqx.is_array))
    validation(objective, make_batch(size=6))(state)
    after = eqx.filter(state, eqx.is_array)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_part_of_the_weights_and_a_prior(network, objective, make_batch):
    """What is trained is a part, and the loss has a prior: scored are the subject and all of it."""
    part = MatchingWeights(("inwards*",))
    trained, frozen = part.split(network, key=jax.random.key(0))
    wrapped = part.objective(PriorPreservation(objective, 0.5), frozen)
    batch = make_batch(seed=5, size=6)
    optimizer, ema = optax.sgd(0.1), DecayEMA(0.9)
    state = TrainState.create(trained, optimizer, ema, mesh=make_mesh())
    expected = validation(objective, batch)(TrainState.create(network, optimizer, ema))
    assert validation(wrapped, batch)(state) == pytest.approx(expected, rel=1e-6)


class Distance(AbstractObjective):
    """A loss without times, with a random number of each example's key."""

    def __call__(self, model, batch, keys):
        noise = jax.vmap(jax.random.normal)(keys)
        return jnp.mean((model(batch[:, None])[:, 0] + noise) ** 2), {}


def test_another_loss_is_scored_with_fixed_keys():
    model = eqx.nn.Lambda(lambda x: x)
    state = TrainState.create(model, optax.sgd(0.1), DecayEMA(0.9))
    batch = np.arange(6, dtype=np.float32)
    values = validation(Distance(), batch, batch_size=4)(state)
    key = jax.random.fold_in(jax.random.key(_SEED), 0)
    draw = jax.jit(jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i))))
    noise = np.asarray(draw(np.arange(6)))
    assert values["validation_loss"] == pytest.approx(np.mean((batch + noise) ** 2), rel=1e-6)
    assert set(values) == {"validation_loss", "validation_loss_ema"}


@pytest.mark.parametrize(
    ("count", "parts", "sizes"),
    [
        (116, 1, {29}),  # four of 32 would leave one of 20, and a second compilation
        (116, 8, {32, 20}),
        (128, 8, {32}),
        (113, 1, {32, 17}),  # a prime
        (5, 1, {5}),
    ],
)
def test_chunks_of_one_size_where_there_are_such(count, parts, sizes):
    size = _chunk_size(count, 32, parts)
    assert {size, count % size or size} == sizes and count / size <= 8


def test_no_example_is_refused(objective, make_batch):
    with pytest.raises(ValueError, match="at least 1 held-out example"):
        validation(objective, make_batch(size=0))


DEVICES = """
import json, sys
sys.path.insert(0, "tests")
import jax, numpy as np, optax
from equildm.data import LatentBatch
from equildm.noise import ScaledLinear, Uniform, UniformTimes, Velocity
from equildm.runtime import copied, make_mesh
from equildm.training import DecayEMA, DenoisingObjective, TrainState, Validation
from small_models import ONE_LEVEL
from equildm import TextEmbedding
import jax.numpy as jnp

text = TextEmbedding(jnp.ones((6, 4, 384)), jnp.ones((6, 4), bool))
batch = LatentBatch(jax.random.normal(jax.random.key(1), (6, 8, 8, 2)), text)
null = jax.tree.map(lambda leaf: leaf[0], text)
objective = DenoisingObjective(ScaledLinear(), Velocity(), Uniform(), UniformTimes(), null)
values = []
for mesh, number in json.loads(sys.argv[1]):
    mesh = make_mesh(mesh, devices=jax.devices()[:number])
    state = TrainState.create(
        ONE_LEVEL.build(key=jax.random.key(0)), optax.sgd(0.1), DecayEMA(0.9), mesh=mesh
    )
    score = Validation(objective, jax.tree.map(np.asarray, batch), mesh=mesh, batch_size=4)
    values.append(score(state)["validation_loss_ema_3"])
print(json.dumps(values))
"""


@pytest.mark.slow
def test_devices_do_not_change_it():
    """On one, and on two that split each batch of four and the last one of two in both ways."""
    meshes = [("", 1), ("data=2", 2), ("fsdp=2", 2)]
    one, *two = json.loads(run_python(DEVICES, json.dumps(meshes), devices=2))
    np.testing.assert_allclose(two, [one, one], rtol=1e-5)
