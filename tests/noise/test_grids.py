"""Grids against the public schedulers' and against their formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from equildm.noise import grids, ScaledLinear, SquaredCosine, ZeroTerminalSNR

SD = ScaledLinear()
STEPS = (1, 2, 3, 4, 10, 20, 50, 333, 999, 1000)

ALL: list[Callable[..., np.ndarray]] = [
    grids.leading,
    grids.trailing,
    grids.linspace,
    grids.karras,
    grids.exponential,
    grids.uniform_lambda,
    grids.shifted,
    grids.beta,
    lambda schedule, steps: grids.polyexponential(schedule, steps, rho=1.5),
    lambda schedule, steps: grids.table(grids.ALIGN_YOUR_STEPS, steps),
    lambda schedule, steps: grids.table(grids.ALIGN_YOUR_STEPS_VIDEO, steps),
]


@pytest.mark.parametrize("grid", ALL)
@pytest.mark.parametrize("schedule", [SD, SquaredCosine(), ZeroTerminalSNR(SD)])
def test_a_grid_falls_strictly_in_the_steps_asked_for(grid: Any, schedule: Any) -> None:
    for steps in STEPS:
        levels = grid(schedule, steps)
        assert levels.shape == (steps + 1,) and levels.dtype == np.float64
        assert np.all(np.diff(levels) < 0) and np.all(np.isfinite(levels))
        end = schedule.lowest if grid is grids.uniform_lambda else 0
        assert levels[-1] == pytest.approx(end)


@pytest.mark.peer
@pytest.mark.parametrize("betas", ["scaled_linear", "squaredcos_cap_v2"])
def test_the_public_spacings(peer: Any, betas: str) -> None:
    schedule = SD if betas == "scaled_linear" else SquaredCosine()
    multistep = "DPMSolverMultistepScheduler"
    spacings: list[tuple[str, dict[str, Any], Callable[[int], np.ndarray]]] = [
        (
            "DDIMScheduler",
            {"timestep_spacing": "leading", "steps_offset": 1},
            lambda n: grids.leading(schedule, n),
        ),
        (
            "DDIMScheduler",
            {"timestep_spacing": "leading", "steps_offset": 0},
            lambda n: grids.leading(schedule, n, offset=0),
        ),
        ("DDIMScheduler", {"timestep_spacing": "trailing"}, lambda n: grids.trailing(schedule, n)),
        ("DDIMScheduler", {"timestep_spacing": "linspace"}, lambda n: grids.linspace(schedule, n)),
        (
            multistep,
            {"timestep_spacing": "leading", "steps_offset": 1},
            lambda n: grids.leading(schedule, n, endpoint=False),
        ),
        (multistep, {"timestep_spacing": "trailing"}, lambda n: grids.trailing(schedule, n)),
        (
            multistep,
            {"timestep_spacing": "linspace"},
            lambda n: grids.linspace(schedule, n, endpoint=False),
        ),
        (
            multistep,
            {"use_karras_sigmas": True},
            lambda n: grids.karras(schedule, n, high=schedule.highest),
        ),
        (
            multistep,
            {"use_exponential_sigmas": True},
            lambda n: grids.exponential(schedule, n, high=schedule.highest),
        ),
    ]
    basic = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": betas}
    cases = [
        {"scheduler": name, "steps": steps, "double": True, "options": basic | options}
        for name, options, _ in spacings
        for steps in (2, 3, 10, 20, 50)
    ]
    rng = np.random.default_rng(0)
    mixture = {"means": rng.normal(size=(2, 1, 1, 1)), "stds": np.ones(2)}
    noise = rng.normal(size=(1, 1, 1, 1))
    out = peer("schedulers", {"cases": cases}, noise=noise, fresh=noise[None], **mixture)
    ours = [grid(steps) for _, _, grid in spacings for steps in (2, 3, 10, 20, 50)]
    for i, levels in enumerate(ours):
        np.testing.assert_allclose(levels[:-1], out[f"{i}/start"], rtol=1e-7, err_msg=str(cases[i]))
        assert levels[-1] == 0


def test_karras_formula() -> None:
    levels = grids.karras(SD, 5, rho=7.0, high=80.0, low=0.002)
    ramp = [(80 ** (1 / 7) + i / 4 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(5)]
    np.testing.assert_allclose(levels, [*ramp, 0], rtol=1e-12)


def test_polyexponential_formula() -> None:
    levels = grids.polyexponential(SD, 5, rho=2.0, high=80.0, low=0.002)
    ramp = np.linspace(1, 0, 5) ** 2 * (np.log(80) - np.log(0.002)) + np.log(0.002)
    np.testing.assert_allclose(levels, [*np.exp(ramp), 0], rtol=1e-12)
    even = grids.polyexponential(SD, 5)
    np.testing.assert_allclose(even, grids.exponential(SD, 5), rtol=1e-12)


def test_a_shift_of_one_is_trailing() -> None:
    np.testing.assert_allclose(grids.shifted(SD, 20, shift=1.0), grids.trailing(SD, 20))
    times = SD.steps * 3 * np.array([1.0, 0.5]) / (1 + 2 * np.array([1.0, 0.5])) - 1
    np.testing.assert_allclose(grids.shifted(SD, 2)[:-1], SD.levels_at(times))


def test_beta_quantiles() -> None:
    quantiles = stats.beta.ppf([1, 0.75, 0.5, 0.25], 0.6, 0.6)
    np.testing.assert_allclose(grids.beta(SD, 4)[:-1], SD.levels_at(999 * quantiles), rtol=1e-9)


def test_the_published_tables(peer: Any) -> None:
    published = peer("schedule_tables")
    for name, table in (
        ("StableDiffusionSigmas", grids.ALIGN_YOUR_STEPS),
        ("StableDiffusionXLSigmas", grids.ALIGN_YOUR_STEPS_XL),
        ("StableDiffusionVideoSigmas", grids.ALIGN_YOUR_STEPS_VIDEO),
    ):
        np.testing.assert_array_equal(published[name], [*table, 0])


def test_uniform_lambda_has_equal_steps() -> None:
    levels = grids.uniform_lambda(SD, 7)
    np.testing.assert_allclose(np.diff(np.log(levels)), np.log(SD.lowest / SD.highest) / 7)


def test_a_final_level_above_zero() -> None:
    levels = grids.trailing(SD, 10, final=SD.lowest)
    assert len(levels) == 11 and levels[-1] == SD.lowest
    # The endpoint is the final level already: it is not repeated.
    assert len(grids.linspace(SD, 10, final=SD.lowest)) == 10


def test_a_table_is_resampled_log_linearly() -> None:
    np.testing.assert_allclose(grids.table([8.0, 2.0, 0.5]), [8, 2, 0.5, 0])
    np.testing.assert_allclose(grids.table([8.0, 2.0, 0.5], 5), [8, 4, 2, 1, 0.5, 0])


def test_padding_repeats_the_end() -> None:
    np.testing.assert_array_equal(grids.pad(np.array([2.0, 1.0, 0.5]), 5), [2, 1, 0.5, 0.5, 0.5])
    with pytest.raises(ValueError, match="at least 3"):
        grids.pad(np.array([2.0, 1.0, 0.5]), 2)


@pytest.mark.parametrize(
    "make, rule",
    [
        (lambda: grids.trailing(SD, 0), "1 to 1000 steps"),
        (lambda: grids.linspace(SD, 1001), "1 to 1000 steps"),
        (lambda: grids.karras(SD, 0), "at least 1 step"),
        (lambda: grids.trailing(SD, 10, final=1.0), "decrease strictly"),
        (lambda: grids.trailing(SD, 10, final=-1.0), "not negative"),
        (lambda: grids.table([1.0, 2.0]), "decrease strictly"),
        (lambda: grids.table([2.0, 1.0, 0.0]), "Leave the 0 out"),
        (lambda: grids.table([2.0]), "at least 2"),
        (lambda: grids.exponential(SD, 5, high=np.inf), "0 < low < high < inf"),
        (lambda: grids.karras(SD, 5, low=0.0), "0 < low < high < inf"),
        (lambda: grids.shifted(SD, 5, shift=0.0), "A shift is a positive number"),
        (lambda: grids.beta(SD, 5, a=-1.0), "positive parameters, received -1.0"),
        (lambda: grids.polyexponential(SD, 5, rho=0.0), "rho is a positive number"),
    ],
)
def test_bad_grids(make: Callable[[], Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        make()
