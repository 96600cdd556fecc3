"""Predictions and loss weights against their formulas, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.noise import (
    AbstractPrediction,
    AbstractWeight,
    Clean,
    corrupt,
    EDM,
    Epsilon,
    LogitNormalTimes,
    LogSNRUniformTimes,
    MinSNR,
    P2,
    ScaledLinear,
    Uniform,
    UniformTimes,
    Velocity,
)

PREDICTIONS = [Epsilon(), Velocity(), Clean()]
ALPHA, SIGMA = jnp.array(0.6), jnp.array(0.8)


def images() -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(3, 2, 1))), jnp.asarray(rng.normal(size=(3, 2, 1)))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_right_answer_gives_back_data_and_noise(prediction: AbstractPrediction) -> None:
    clean, noise = images()
    x = corrupt(clean, noise, ALPHA, SIGMA)
    answer = prediction.target(clean, noise, ALPHA, SIGMA)
    np.testing.assert_allclose(prediction.clean(x, answer, ALPHA, SIGMA), clean, atol=1e-6)
    np.testing.assert_allclose(prediction.noise(x, answer, ALPHA, SIGMA), noise, atol=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_any_answer_splits_x(prediction: AbstractPrediction) -> None:
    x, answer = images()
    clean = prediction.clean(x, answer, ALPHA, SIGMA)
    noise = prediction.noise(x, answer, ALPHA, SIGMA)
    np.testing.assert_allclose(ALPHA * clean + SIGMA * noise, x, atol=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_error_scale(prediction: AbstractPrediction) -> None:
    clean, noise = images()
    x = corrupt(clean, noise, ALPHA, SIGMA)
    wrong = prediction.target(clean, noise, ALPHA, SIGMA) + 0.1
    error = jnp.mean((prediction.clean(x, wrong, ALPHA, SIGMA) - clean) ** 2)
    scale = prediction.error_scale((ALPHA / SIGMA) ** 2)
    np.testing.assert_allclose(0.01, scale * error, rtol=1e-4)


def test_corrupt() -> None:
    clean, noise = images()
    x = corrupt(clean, noise, ALPHA, SIGMA)
    np.testing.assert_allclose(x, 0.6 * clean + 0.8 * noise, rtol=1e-6)
    assert corrupt(clean.astype(jnp.bfloat16), noise, ALPHA, SIGMA).dtype == jnp.bfloat16


@pytest.mark.parametrize("snr", [1e-6, 0.1, 1.0, 4.9, 5.1, 1000.0])
def test_weights(snr: float) -> None:
    s = snr**-0.5
    edm = (s**2 + 0.25) / (s * 0.5) ** 2
    unit = (s**2 + 1) / s**2
    formulas: list[tuple[AbstractWeight, float, float, float]] = [
        # the weight of: eps, v, x0
        (Uniform(), 1, 1, 1),
        (MinSNR(), min(snr, 5) / snr, min(snr, 5) / (snr + 1), min(snr, 5)),
        (MinSNR(2.0), min(snr, 2) / snr, min(snr, 2) / (snr + 1), min(snr, 2)),
        (P2(), 1 / (1 + snr), snr / (1 + snr) ** 2, snr / (1 + snr)),
        (
            P2(2.0, 0.5),
            (2 + snr) ** -0.5,
            snr * (2 + snr) ** -0.5 / (snr + 1),
            snr * (2 + snr) ** -0.5,
        ),
        (EDM(0.5), edm / snr, edm / (snr + 1), edm),
        (EDM(), unit / snr, unit / (snr + 1), unit),
    ]
    for weight, *expected in formulas:
        values = [weight(jnp.array(snr), prediction) for prediction in PREDICTIONS]
        np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("weight", [MinSNR(), P2(), EDM()])
def test_one_weight_is_one_training(weight: AbstractWeight) -> None:
    """Whatever is predicted, the weighted loss of one clean estimate is the same."""
    clean, noise = images()
    x = corrupt(clean, noise, ALPHA, SIGMA)
    snr = (ALPHA / SIGMA) ** 2
    guess = clean + 0.1 * noise
    losses = []
    for prediction in PREDICTIONS:
        target = prediction.target(clean, noise, ALPHA, SIGMA)
        answer = prediction.target(guess, (x - ALPHA * guess) / SIGMA, ALPHA, SIGMA)
        losses.append(weight(snr, prediction) * jnp.mean((answer - target) ** 2))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_times_have_their_distributions() -> None:
    schedule = ScaledLinear()
    keys = jax.random.split(jax.random.key(0), 20_000)

    def draw(times):
        return np.asarray(jax.jit(jax.vmap(lambda key: times(key, schedule)))(keys))

    uniform = draw(UniformTimes())
    assert np.all(uniform == np.round(uniform)) and uniform.min() == 0 and uniform.max() == 999
    np.testing.assert_allclose(np.quantile(uniform, [0.25, 0.5, 0.75]), [250, 500, 750], atol=12)

    normal = draw(LogitNormalTimes(0.5, 2.0)).astype(np.float64)
    logit = np.log(normal / (999 - normal))
    np.testing.assert_allclose([np.median(logit), logit.std()], [0.5, 2.0], atol=0.06)

    lambdas = np.asarray(jax.jit(schedule.half_log_snr)(draw(LogSNRUniformTimes())))
    table = schedule.table()
    ends = np.quantile(lambdas, [0.0, 0.5, 1.0])
    np.testing.assert_allclose(ends, [table[-1], (table[0] + table[-1]) / 2, table[0]], atol=0.06)


@pytest.mark.parametrize(
    "make", [lambda: MinSNR(0.0), lambda: MinSNR(-1.0), lambda: P2(k=-1.0), lambda: P2(gamma=-1.0)]
)
def test_no_weight_is_negative_or_nowhere(make) -> None:
    with pytest.raises(ValueError, match="The paper"):
        make()
