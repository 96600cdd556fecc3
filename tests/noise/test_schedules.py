"""Schedules against the formulas of their papers in float64, and their promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow

from equildm.noise import (
    AbstractSchedule,
    INFINITE_LEVEL,
    LinearSchedule,
    RectifiedFlow,
    ScaledLinear,
    SquaredCosine,
    ZeroTerminalSNR,
)

ALL = [ScaledLinear(), LinearSchedule(), SquaredCosine(), ZeroTerminalSNR(ScaledLinear())]
TIMES = jnp.linspace(0, 999, 4001)


def test_scaled_linear_is_stable_diffusions() -> None:
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alpha_bar = np.ones(1)
    for beta in betas:
        alpha_bar = np.append(alpha_bar, alpha_bar[-1] * (1 - beta))
    levels = np.sqrt((1 - alpha_bar) / alpha_bar)[1:]
    schedule = ScaledLinear()
    np.testing.assert_allclose(np.exp(-schedule.table()), levels, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(schedule.level)(np.arange(1000.0)), levels, rtol=1e-5)
    assert schedule.highest == pytest.approx(14.6146, abs=5e-5)
    assert schedule.lowest == pytest.approx(0.0292, abs=5e-5)


def test_squared_cosine() -> None:
    f = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = [min(1 - f((i + 1) / 1000) / f(i / 1000), 0.999) for i in range(1000)]
    alpha_bar = np.cumprod(1 - np.array(betas))
    snr = np.exp(2 * SquaredCosine().table())
    np.testing.assert_allclose(snr, alpha_bar / (1 - alpha_bar), rtol=1e-9)


def test_zero_terminal_snr_is_algorithm_1() -> None:
    root = 1 / np.sqrt(1 + np.exp(-2 * ScaledLinear().table()))
    first, last = root[0], root[-1]
    expected = (root - last) * (first / (first - last))
    schedule = ZeroTerminalSNR(ScaledLinear())
    alpha = np.asarray(jax.jit(schedule.alpha)(np.arange(1000.0)))
    np.testing.assert_allclose(alpha[:-1], expected[:-1], rtol=2e-5)
    assert alpha[-1] < 2e-6
    assert schedule.highest == pytest.approx(INFINITE_LEVEL)
    assert schedule.steps == 1000


@pytest.mark.parametrize("schedule", ALL)
def test_alpha_and_sigma_preserve_the_variance(schedule: AbstractSchedule) -> None:
    alpha, sigma = schedule.alpha(TIMES), schedule.sigma(TIMES)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1, atol=5e-7)
    np.testing.assert_allclose(sigma / alpha, schedule.level(TIMES), rtol=1e-5)


@pytest.mark.parametrize("schedule", ALL)
def test_time_inverts_level(schedule: AbstractSchedule) -> None:
    back = jax.jit(jax.vmap(lambda t: schedule.time(schedule.level(t))))(TIMES)
    np.testing.assert_allclose(back, TIMES, atol=1e-3)
    with jax.enable_x64(True):
        times = np.linspace(0.0, 999.0, 501)
        back = jax.jit(lambda t: schedule.time(schedule.level(t)))(times)
        np.testing.assert_allclose(back, times, atol=1e-9)


@pytest.mark.parametrize("schedule", ALL)
def test_lambda_is_linear_between_times(schedule: AbstractSchedule) -> None:
    low, middle, high = (schedule.half_log_snr(jnp.array(t)) for t in (500.0, 500.25, 501.0))
    np.testing.assert_allclose(middle, 0.75 * low + 0.25 * high, rtol=1e-5)


@pytest.mark.parametrize("schedule", ALL)
def test_levels_outside_of_the_table_give_its_ends(schedule: AbstractSchedule) -> None:
    levels = np.array([0.0, 1e-5, 1.0, 1e30], np.float32)
    times, slopes = jax.jit(jax.vmap(jax.value_and_grad(schedule.time)))(levels)
    assert np.asarray(times)[[0, 1, 3]].tolist() == [0, 0, 999]
    assert np.isfinite(slopes).all()


def test_levels_at_agrees_with_level() -> None:
    schedule = ScaledLinear()
    times = np.array([0.0, 3.7, 998.5, 999.0])
    levels = schedule.levels_at(times)
    assert levels.dtype == np.float64
    np.testing.assert_allclose(schedule.level(jnp.asarray(times)), levels, rtol=1e-5)


def test_a_schedule_holds_no_parameters() -> None:
    assert not jax.tree.leaves(ALL)


def test_bad_betas() -> None:
    with pytest.raises(ValueError, match="0 < start <= end < 1"):
        ScaledLinear(start=0.5, end=0.1)


class Rising(SquaredCosine):
    """A table of a user's that runs the wrong way."""

    def table(self) -> np.ndarray:
        return super().table()[::-1]


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: ScaledLinear(steps=0), "at least 2 times, received 0"),
        (lambda: SquaredCosine(steps=1), "at least 2 times, received 1"),
        (lambda: LinearSchedule(0.5, 0.9), "noise grows from each time to the next and stays fin"),
        (Rising, "noise grows from each time to the next"),
        (lambda: ZeroTerminalSNR(RectifiedFlow()), "rescales a schedule that preserves the varia"),
    ],
)
def test_what_is_no_schedule(make, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        make()


@pytest.mark.parametrize("schedule", others_slow(ALL, ALL[0]))
@pytest.mark.parametrize("method", ["half_log_snr", "level", "alpha", "sigma", "time"])
def test_times_of_any_kind(schedule: AbstractSchedule, method: str) -> None:
    """`ScaledLinear().level(500)` was 1.0 for an integer; bfloat16 and Python numbers failed."""
    function = getattr(schedule, method)
    value = 2 if method == "time" else 500
    kinds = [value, float(value), np.int64(value), np.float32(value), jnp.array(value)]
    kinds += [np.array(value, dtype) for dtype in (jnp.bfloat16, "float16", "int16")]
    call = jax.jit(lambda kinds: [function(kind) for kind in kinds])
    right, *results = call([np.float32(value), *kinds])
    for kind, got in zip(kinds, results, strict=True):
        assert got.dtype == jnp.float32
        tolerance = 3e-2 if getattr(kind, "dtype", None) == jnp.bfloat16 else 1e-6
        np.testing.assert_allclose(got, right, rtol=tolerance)
    with jax.enable_x64(True):
        assert jax.eval_shape(function, np.array(value, np.float64)).dtype == jnp.float64


def test_scaled_linear_at_an_integer() -> None:
    np.testing.assert_allclose(ScaledLinear().level(jnp.array(500)), 1.618, rtol=1e-3)


@pytest.mark.parametrize("schedule", ALL)
def test_a_level_has_the_alpha_and_sigma_of_its_time(schedule: AbstractSchedule) -> None:
    s = schedule.level(TIMES)
    np.testing.assert_allclose(schedule.alpha_at(s), schedule.alpha(TIMES), rtol=2e-4)
    np.testing.assert_allclose(schedule.sigma_at(s), schedule.sigma(TIMES), rtol=2e-4)
