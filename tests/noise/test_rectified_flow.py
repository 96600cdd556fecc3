"""Flow matching in the frame of noise levels, against its own formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.noise import (
    Clean,
    corrupt,
    Epsilon,
    FlowVelocity,
    grids,
    INFINITE_LEVEL,
    LogitNormalTimes,
    NoiseConfig,
    RectifiedFlow,
    ScaledLinear,
    ShiftedTimes,
    UniformTimes,
    Velocity,
)

SCHEDULE = RectifiedFlow()
TIMES = np.linspace(0, 999, 4001, dtype=np.float32)


def test_data_and_noise_change_places_in_a_straight_line() -> None:
    u = (np.asarray(TIMES, np.float64) + 1) / 1000
    values = jax.jit(lambda t: (SCHEDULE.alpha(t), SCHEDULE.sigma(t), SCHEDULE.level(t)))(TIMES)
    alpha, sigma, level = map(np.asarray, values)
    np.testing.assert_allclose(alpha, 1 - u, atol=2e-6)
    np.testing.assert_allclose(sigma, u, atol=2e-6)
    np.testing.assert_allclose(alpha + sigma, 1, atol=1e-6)
    np.testing.assert_allclose(sigma / alpha, level, rtol=1e-5)
    assert SCHEDULE.highest == pytest.approx(INFINITE_LEVEL) and SCHEDULE.ends_without_signal
    assert SCHEDULE.lowest == pytest.approx(1 / 999)


def test_table_and_levels_are_those_of_the_times() -> None:
    with jax.enable_x64(True):
        between = np.linspace(0, 999, 777)
        level = jax.jit(lambda *times: [SCHEDULE.level(t) for t in times])
        levels, others = level(np.arange(1000.0), between)
        np.testing.assert_allclose(np.exp(-SCHEDULE.table()), levels, rtol=1e-9)
        np.testing.assert_allclose(SCHEDULE.levels_at(between), others, rtol=1e-9)


def test_time_inverts_level() -> None:
    back = jax.jit(jax.vmap(lambda t: SCHEDULE.time(SCHEDULE.level(t))))(TIMES)
    np.testing.assert_allclose(back, TIMES, atol=1e-3)
    for level, time in ((0.0, 0), (1e-5, 0), (1e30, 999), (1.0, 499)):
        assert float(SCHEDULE.time(level)) == pytest.approx(time, abs=2e-3)


def test_prediction() -> None:
    rng = np.random.default_rng(0)
    clean, noise = (jnp.asarray(rng.normal(size=(3, 2, 1))) for _ in range(2))
    prediction = FlowVelocity()
    for alpha, sigma in ((0.3, 0.7), (0.6, 0.8), (1.0, 2.0)):  # of three kinds of schedules
        alpha, sigma = jnp.array(alpha), jnp.array(sigma)
        x = corrupt(clean, noise, alpha, sigma)
        answer = prediction.target(clean, noise, alpha, sigma)
        np.testing.assert_allclose(answer, noise - clean)
        np.testing.assert_allclose(prediction.clean(x, answer, alpha, sigma), clean, atol=1e-6)
        np.testing.assert_allclose(prediction.noise(x, answer, alpha, sigma), noise, atol=1e-6)
        wrong = prediction.clean(x, answer + 0.1, alpha, sigma)
        scale = prediction.error_scale((alpha / sigma) ** 2)
        np.testing.assert_allclose(0.01, scale * jnp.mean((wrong - clean) ** 2), rtol=1e-4)
    # In the straight line x(u) it is the derivative by u.
    t = jnp.float32(400.0)
    path = lambda t: corrupt(clean, noise, SCHEDULE.alpha(t), SCHEDULE.sigma(t))
    _, slope = jax.jvp(path, (t,), (jnp.float32(1.0),))
    np.testing.assert_allclose(1000 * slope, noise - clean, rtol=2e-3, atol=1e-4)


def test_what_cannot_be_predicted_is_refused() -> None:
    for prediction in (FlowVelocity(), Clean()):
        prediction.check_schedule(SCHEDULE)
    FlowVelocity().check_schedule(ScaledLinear())
    with pytest.raises(ValueError, match=r"Velocity\(\) is of schedules that preserve .* FlowVel"):
        Velocity().check_schedule(SCHEDULE)
    with pytest.raises(ValueError, match="zero terminal SNR"):
        Epsilon().check_schedule(SCHEDULE)
    with pytest.raises(ValueError, match="preserve the variance"):
        NoiseConfig("rectified-flow", "v")
    with pytest.raises(ValueError, match="at least 2 times, received 1"):
        RectifiedFlow(1)
    with pytest.raises(ValueError, match="positive number, received 0"):
        ShiftedTimes(UniformTimes(), 0.0)


@pytest.mark.parametrize("base", [UniformTimes(), LogitNormalTimes()])
def test_shifted_times(base) -> None:
    keys = jax.random.split(jax.random.key(0), 4096)
    kinds = base, ShiftedTimes(base, 3.0), ShiftedTimes(base, 1.0)
    draw = jax.jit(jax.vmap(lambda key: [times(key, SCHEDULE) for times in kinds]))
    plain, shifted, same = map(np.asarray, draw(keys))
    u = (np.asarray(plain, np.float64) + 1) / 1000
    np.testing.assert_allclose((shifted + 1) / 1000, 3 * u / (1 + 2 * u), atol=1e-5)
    assert shifted.min() >= 0 and shifted.max() <= 999
    np.testing.assert_allclose(same, plain, atol=1e-3)


def test_shifted_grid_is_that_of_stable_diffusion_3() -> None:
    sigmas = np.linspace(1, 1 / 1000, 1000)[:: 1000 // 10][:10]  # u of 10 steps
    expected = 3 * sigmas / (1 + 2 * sigmas)
    levels = grids.shifted(SCHEDULE, 10, shift=3.0)
    u = levels[:-1] / (1 + levels[:-1])
    np.testing.assert_allclose(u, expected, atol=2e-6)
