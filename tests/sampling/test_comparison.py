"""Evaluations are counted, pay for steps, and errors fall with them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow

from equildm.noise import grids, ScaledLinear, SCHEDULES
from equildm.sampling import (
    check_solvers,
    compare_samplers,
    count_evaluations,
    DPMpp2M,
    make_solver,
    problem_of,
    steps_within,
)

GRID = partial(grids.trailing, ScaledLinear())


@pytest.mark.parametrize(
    ("solver", "evaluations"),
    others_slow(
        [("ddim", 6), ("ddpm", 6), ("dpm++3m", 6), ("unipc2", 6), ("dpm++2s", 11), ("heun", 11)],
        ("heun", 11),
    ),
)
def test_evaluations_are_counted(solver: str, evaluations: int):
    """Of 6 steps, the last of which lands on 0."""
    levels = GRID(6)
    assert levels[-1] == 0 and count_evaluations(solver, levels) == evaluations


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "second"), [("ddim", 2), ("heun", 3), ("tsit5", 8)])
def test_evaluations_pay_for_steps(solver: str, second: int):
    """As many steps as there are evaluations for, and not one more. The last step takes one."""
    none, one, still_one, two, steps = steps_within(solver, (0, 1, second - 1, second, 21), GRID)
    assert (none, one, still_one, two) == (0, 1, 1, 2)
    assert count_evaluations(solver, GRID(steps)) <= 21 < count_evaluations(solver, GRID(steps + 1))


def test_what_a_solver_solves():
    problems = {"heun": "flow", "tsit5": "flow", "ddpm": "SDE in the noise level"}
    problems["sra1"] = "SDE in the half log SNR"
    assert {solver: problem_of(solver) for solver in problems} == problems
    with pytest.raises(ValueError, match="A solver is one of"):
        count_evaluations("none", GRID(4))


OWN = """
import diffrax
from equildm.sampling import DPMpp2M

class Midpoint(diffrax.Midpoint):
    pass

second = DPMpp2M()
number = 3
"""


def test_a_solver_of_ones_own_has_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_solver.py").write_text(OWN)
    assert make_solver("my_solver.py:second") == DPMpp2M()
    assert count_evaluations("my_solver.py:Midpoint", GRID(4)) > 4
    assert problem_of("my_solver.py:Midpoint") == "flow"
    with pytest.raises(ValueError, match=r"my_solver\.py has no 'none'"):
        make_solver("my_solver.py:none")
    with pytest.raises(ValueError, match="is a subclass of AbstractSolver or an object of one"):
        make_solver("my_solver.py:number")
    check_solvers(None, "ddim", "my_solver.py:second")
    with pytest.raises(ValueError, match=r"--solver is one of ddim.*received 'eule'"):
        check_solvers("eule")


@pytest.mark.slow
def test_errors_fall_with_evaluations():
    """On Gaussian data, whose mean is the condition: what does not pay for a step is left out.

    One evaluation pays for a step that lands on 0 in every solver, for other steps in some.
    """

    def denoiser(y, s, condition):
        mean, _ = condition
        return mean + (y - mean) * 0.25 / (0.25 + s**2)

    solvers, numbers = ("ddim", "dpm++2m", "tsit5", "ddpm"), (1, 8, 32)
    inputs = jnp.arange(3.0), jnp.zeros(()), jax.random.split(jax.random.key(0), 3)

    def compare(solvers, evaluations, grid=GRID):
        options = {"solvers": solvers, "evaluations": evaluations, "fine_steps": 200}
        return compare_samplers(denoiser, *inputs, (2, 2, 1), grid, **options)

    comparison = compare(solvers, numbers)
    errors = comparison.errors
    assert tuple(errors) == solvers
    assert all(set(row) == {1, 8, 32} for row in errors.values())
    for solver, row in errors.items():
        assert comparison.latents[solver].keys() == row.keys()
        assert row[32] < row[8], solver
    assert errors["dpm++2m"][32] < 0.5 * errors["ddim"][32]
    # The samples are of their conditions.
    latents = np.asarray(comparison.latents["dpm++2m"][32])
    assert latents.shape == (3, 2, 2, 1)
    assert np.all(np.diff(latents.mean(axis=(1, 2, 3))) > 0)

    def above_0(steps):
        return GRID(steps + 1)[:-1]

    errors = compare(("ddim", "tsit5"), (1, 8), above_0).errors
    assert set(errors["ddim"]) == {1, 8} and set(errors["tsit5"]) == {8}
    with pytest.raises(ValueError, match=r"received \(1,\) for tsit5. Give more"):
        compare(("tsit5",), (1,), above_0)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["squared-cosine", "scaled-linear-zero-snr"])
def test_stochastic_solvers_start_from_any_level(schedule: str):
    """Those whose highest level is in the thousands too, on unit Gaussian data."""
    grid = partial(grids.trailing, SCHEDULES[schedule])
    inputs = jnp.zeros(2), jnp.zeros(()), jax.random.split(jax.random.key(0), 2)
    errors = compare_samplers(
        lambda y, s, condition: y / (1 + s**2),
        *inputs,
        (4, 4, 1),
        grid,
        solvers=("ddpm",),
        evaluations=(8, 64),
        fine_steps=200,
    ).errors["ddpm"]
    assert grid(8)[0] > 1e4 and errors[64] < 0.15 and errors[64] < 0.5 * errors[8]
