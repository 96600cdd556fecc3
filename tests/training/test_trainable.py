"""Parts of models that are trained alone, and groups of learning rates."""

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from helpers import trees_equal
from small_models import moved_weights

from equildm.runtime import copied, count_parameters
from equildm.training import (
    adamw,
    check_patterns,
    DecayEMA,
    make_step,
    matching,
    PartialObjective,
    partition_trainable,
    rate_groups,
    TrainState,
)


def run(objective, model, batch, optimizer, steps=3):
    step = make_step(objective, optimizer, DecayEMA(0.9), key=jax.random.key(1))
    state = TrainState.create(copied(model), optimizer, DecayEMA(0.9))
    for _ in range(steps):
        state, metrics = step(state, batch)
    return state, metrics


def test_only_the_part_learns_and_it_learns_as_in_the_whole(network, objective, make_batch):
    batch = make_batch()
    part, frozen = partition_trainable(network, matching("text.*"))
    size = count_parameters(network.text)
    assert count_parameters(part) == size
    optimizer = adamw(1e-2, clip=1e9)
    state, _ = run(PartialObjective(objective, frozen), part, batch, optimizer)
    assert count_parameters((state.optimizer, state.ema)) == 3 * size
    trained = eqx.combine(state.model, frozen)
    np.testing.assert_array_equal(trained.inwards.weight, network.inwards.weight)
    moved = np.asarray(trained.text.weight) - np.asarray(network.text.weight)
    assert np.abs(moved).max() > 1e-3

    # The same through factors of the learning rate: 0 for the rest.
    groups = optax.chain(optimizer, rate_groups({"text.*": 1.0, "*": 0.0}))
    complete, _ = run(objective, network, batch, groups)
    np.testing.assert_allclose(complete.model.text.weight, trained.text.weight, rtol=1e-5)
    np.testing.assert_array_equal(complete.model.inwards.weight, network.inwards.weight)


def test_shapes_are_divided_as_their_arrays(network):
    """As a run's folder is read: the shapes of both parts, then their arrays."""
    where = matching("text.*")
    shapes = eqx.filter_eval_shape(lambda network: network, network)
    for abstract, arrays in zip(
        partition_trainable(shapes, where), partition_trainable(network, where), strict=True
    ):
        abstract = [x for x in jax.tree.leaves(abstract) if isinstance(x, jax.ShapeDtypeStruct)]
        assert [x.shape for x in abstract] == [
            x.shape for x in jax.tree.leaves(arrays) if eqx.is_array(x)
        ]


def test_a_factor_is_another_learning_rate(network):
    """Beside optax's own labels, with weight decay and a schedule."""
    random = np.random.default_rng(0)
    gradients = [moved_weights(network, 1.0, random) for _ in range(3)]

    def plain(factor):
        rate = optax.linear_schedule(factor * 1e-2, factor * 2e-2, 3)
        return optax.adamw(rate, weight_decay=0.1)

    labels = jax.tree_util.tree_map_with_path(
        lambda path, _: "slow" if "inwards" in jax.tree_util.keystr(path) else "plain", network
    )
    truth = optax.multi_transform({"slow": plain(0.1), "plain": plain(1.0)}, lambda _: labels)
    ours = optax.chain(plain(1.0), rate_groups({"inwards.*": 0.1}))

    @jax.jit
    def trained():
        models = []
        for optimizer in (truth, ours):
            model, state = network, optimizer.init(network)
            for gradient in gradients:
                updates, state = optimizer.update(gradient, state, model)
                model = optax.apply_updates(model, updates)
            models.append(model)
        return models

    models = trained()
    assert not trees_equal(models[0].inwards, network.inwards)
    for a, b in zip(*map(jax.tree.leaves, models), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-7)


def test_patterns_that_fit_nothing_are_refused(network):
    for fails in (
        lambda: check_patterns(network, ["inwards.*", "attention"]),
        lambda: rate_groups({"attention": 0.5}).init(network),
        lambda: partition_trainable(network, matching("attention")),
    ):
        with pytest.raises(ValueError, match=r"inwards\.weight"):
            fails()
    with pytest.raises(ValueError, match="at least 0"):
        rate_groups({"*": -1.0})
