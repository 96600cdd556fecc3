"""Averages against the sums that define them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.training import (
    DecayEMA,
    posthoc_average,
    posthoc_weights,
    power_exponent,
    PowerEMA,
    Snapshot,
)


def course(ema, values):
    """The averages after every step, one array for each."""

    def update(state, step_and_value):
        state = ema.update(state, step_and_value[1], step_and_value[0])
        return state, state

    steps = jnp.arange(1, len(values) + 1)
    inputs = (steps, jnp.asarray(values, "float32"))
    _, averages = jax.lax.scan(update, ema.init(jnp.zeros(())), inputs)
    return [packed.vectors[:, 0] for packed in averages]


def averaged(ema, values):
    return [float(x[-1]) for x in course(ema, values)]


@pytest.mark.parametrize("sigma_rel, gamma", [(0.05, 16.97), (0.10, 6.94), (0.25, 0.72)])
def test_exponents_of_the_paper(sigma_rel, gamma):
    assert power_exponent(sigma_rel) == pytest.approx(gamma, abs=0.02)
    g = power_exponent(sigma_rel)
    assert (g + 1) / ((g + 2) ** 2 * (g + 3)) == pytest.approx(sigma_rel**2, rel=1e-9)


def test_a_power_average_weighs_steps_by_a_power():
    values = np.random.default_rng(0).normal(size=2000)
    (got,) = averaged(PowerEMA((0.10,)), values)
    gamma = power_exponent(0.10)
    weights = np.arange(1, 2001) ** gamma
    assert got == pytest.approx(np.sum(weights * values) / np.sum(weights), abs=2e-3)


def test_a_decay_average_warms_up():
    values = np.random.default_rng(0).normal(size=50)
    expected = 0.0
    for n, value in enumerate(values, start=1):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    assert averaged(DecayEMA(0.9), values)[0] == pytest.approx(expected, abs=1e-5)


def test_a_snapshot_reconstructs_itself():
    snapshots = [(step, s) for step in (500, 1000, 2000) for s in (0.05, 0.10)]
    weights = posthoc_weights(snapshots, 1000, 0.10)
    np.testing.assert_allclose(weights, [0, 0, 0, 1, 0, 0], atol=1e-6)


def test_an_average_that_was_not_kept_is_reconstructed():
    """A width of 0.07 from snapshots of 0.05 and 0.10, on a random walk."""
    values = np.cumsum(np.random.default_rng(1).normal(size=4096))
    short, long = (np.asarray(x) for x in course(PowerEMA((0.05, 0.10)), values))
    snapshots = [
        Snapshot(n, s, lambda average=average, n=n: average[n - 1])
        for n in range(256, 4097, 256)
        for s, average in ((0.05, short), (0.10, long))
    ]
    (expected,) = averaged(PowerEMA((0.07,)), values)
    got = posthoc_average(snapshots, 4096, 0.07)
    neighbours = [float(s.read()) for s in snapshots[-2:]]
    assert abs(got - expected) < 0.1 * abs(neighbours[0] - neighbours[1])


def test_bad_widths_are_refused():
    with pytest.raises(ValueError, match="between 0 and"):
        PowerEMA((0.5,))
    with pytest.raises(ValueError, match="decay"):
        DecayEMA(1.0)
    with pytest.raises(ValueError, match="at least one snapshot"):
        posthoc_weights([], 10, 0.1)
