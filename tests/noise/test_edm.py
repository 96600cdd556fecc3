"""EDM's process against table 1 of Karras et al. 2022."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.denoise import Preconditioned
from equildm.noise import (
    EDM,
    EDMPrediction,
    EDMSchedule,
    LogNormalTimes,
    NoiseConfig,
    RectifiedFlow,
    ScaledLinear,
)

LEVELS = np.array([0.002, 0.05, 0.5, 3.0, 80.0])


@pytest.mark.parametrize("data_std", [0.5, 1.0, 2.0])
def test_preconditioning_is_that_of_table_1(data_std: float) -> None:
    """D(y; s) = c_skip y + c_out F(c_in y; c_noise), whatever F is."""
    schedule, prediction = EDMSchedule(data_std), EDMPrediction(data_std)
    seen = []

    def network(x, t, condition):
        seen.append((x, t))
        return jnp.sin(3 * x) + condition

    denoiser = Preconditioned(network, schedule, prediction)
    y = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4, 2)), jnp.float32)
    for s in LEVELS:
        result = denoiser(s * y, jnp.float32(s), 0.3)
        root = np.sqrt(s**2 + data_std**2)
        c_skip, c_out, c_in = data_std**2 / root**2, s * data_std / root, 1 / root
        expected = c_skip * s * y + c_out * (jnp.sin(3 * c_in * s * y) + 0.3)
        np.testing.assert_allclose(result, expected, rtol=2e-4, atol=2e-5)
        x, t = seen[-1]
        np.testing.assert_allclose(x, c_in * s * y, rtol=1e-5)
        # The time is c_noise = log(s) / 4, moved and stretched to 0 .. 999.
        c_noise, ends = np.log(s) / 4, np.log([0.002, 80.0]) / 4
        np.testing.assert_allclose(t, 999 * (c_noise - ends[0]) / np.ptp(ends), atol=1e-2)


@pytest.mark.parametrize("data_std", [0.5, 1.0])
def test_target_and_weight(data_std: float) -> None:
    """The target has unit variance, and EDM's weight makes the loss of the output uniform."""
    schedule, prediction = EDMSchedule(data_std), EDMPrediction(data_std)
    rng = np.random.default_rng(1)
    clean = jnp.asarray(data_std * rng.normal(size=20000), jnp.float32)
    noise = jnp.asarray(rng.normal(size=20000), jnp.float32)
    for s in LEVELS[1:]:
        alpha, sigma = schedule.alpha_at(s), schedule.sigma_at(s)
        target = prediction.target(clean, noise, alpha, sigma)
        assert float(target.std()) == pytest.approx(1.0, abs=0.03)
        x = alpha * clean + sigma * noise
        estimate = prediction.clean(x, target, alpha, sigma)
        np.testing.assert_allclose(estimate, clean, atol=2e-3 * max(1, data_std))
        np.testing.assert_allclose(prediction.noise(x, target, alpha, sigma), noise, atol=0.05)
        snr = (alpha / sigma) ** 2
        assert float(EDM(data_std)(snr, prediction)) == pytest.approx(1.0, rel=1e-4)
        weight = (s**2 + data_std**2) / (s * data_std) ** 2  # lambda of table 1
        assert float(EDM(data_std)(snr, prediction) * prediction.error_scale(snr)) == pytest.approx(
            weight, rel=1e-4
        )


def test_levels_of_training_are_log_normal() -> None:
    schedule = EDMSchedule(0.5)
    keys = jax.random.split(jax.random.key(0), 8192)
    draw = jax.jit(jax.vmap(lambda key: schedule.level(LogNormalTimes()(key, schedule))))
    logs = np.log(np.asarray(draw(keys)))
    assert logs.mean() == pytest.approx(-1.2, abs=0.05) and logs.std() == pytest.approx(
        1.2, abs=0.05
    )


def test_names_and_refusals() -> None:
    NoiseConfig("edm", "edm")
    NoiseConfig("edm", "v")  # of unit data: the variance is preserved
    with pytest.raises(ValueError, match="0 < low < high"):
        EDMSchedule(low=1.0, high=0.5)


def test_a_prediction_of_another_scale_is_refused() -> None:
    """Off its own schedule the weight of its loss would be of another error."""
    for schedule in (EDMSchedule(1.0), ScaledLinear(), RectifiedFlow()):
        with pytest.raises(ValueError, match="Give both the same data_std"):
            EDMPrediction(0.5).check_schedule(schedule)
    with pytest.raises(ValueError, match="Give both the same data_std"):
        EDMPrediction().check_schedule(EDMSchedule(0.5))
    EDMPrediction().check_schedule(ScaledLinear())


@pytest.mark.parametrize(
    "make", [lambda: EDMPrediction(0.0), lambda: EDM(-1.0), lambda: EDM(float("nan"))]
)
def test_a_standard_deviation_is_positive(make) -> None:
    with pytest.raises(ValueError, match="standard deviation is a positive number"):
        make()
