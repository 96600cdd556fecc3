"""What `sample`, `solve` and the solvers refuse."""

from typing import get_args

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import mixture

from equildm.noise import grids, ScaledLinear, ZeroTerminalSNR
from equildm.sampling import (
    Ancestral,
    ChurnedHeun,
    DDIM,
    DEIS,
    DPMpp2M,
    DPMppSDE,
    HalfLogSNR,
    invert,
    LMS,
    sample,
    SDEDPMpp2M,
    solve,
    SolverName,
    SOLVERS,
    TCD,
    trajectory,
    UniPC,
)

SD = ScaledLinear()
SHAPE = (2, 2, 1)


@pytest.mark.parametrize(
    "levels, rule",
    [
        (np.array([1.0, 2.0, 0.5]), "fall strictly"),
        (np.array([1.0, 1.0]), "fall strictly"),
        (np.array([2.0, 1 + 1e-9, 1.0, 0.5]), "fall strictly"),  # equal in float32
        (np.array([3.0, 2.0, 2.0, 1.0]), "fall strictly"),
        (np.array([9.0, 0.0, 5.0, 0.0]), "fall strictly"),
        (np.array([0.0, 1.0]), "start above 0"),
        (np.array([2.0, -1.0]), "not negative"),
        (np.array([np.inf, 1.0]), "finite"),
    ],
)
def test_bad_levels(levels: np.ndarray, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        sample(mixture(SHAPE), jnp.ones(SHAPE), levels)


def test_what_does_not_go_together() -> None:
    levels = grids.trailing(SD, 5)
    flow = diffrax.ODETerm(lambda t, y, args: y)
    with pytest.raises(ValueError, match="needs the clean estimate"):
        diffrax.diffeqsolve(flow, DDIM(), 1.0, 0.5, -0.1, jnp.ones(SHAPE))
    with pytest.raises(ValueError, match="steps in noise levels"):
        solve(mixture(SHAPE), jnp.ones(SHAPE), np.array([2.0, 1.0]), DDIM(), time=HalfLogSNR())
    with pytest.raises(ValueError, match="controller of your own"):
        control = diffrax.PIDController(1e-3, 1e-3)
        sample(mixture(SHAPE), jnp.ones(SHAPE), levels, controller=control, callback=print)
    for make, rule in (
        (lambda: UniPC(4), "UniPC is of order 1 to 3"),
        (lambda: LMS(5), "LMS is of order 1 to 4"),
        (lambda: DEIS(4), "DEIS is of order 1 to 3"),
        (lambda: Ancestral(solver=DPMpp2M()), "DPMpp2M, which remembers earlier steps"),
        (lambda: SDEDPMpp2M(eta=1.5), "eta is from 0"),
        (lambda: TCD(eta=-0.1), "eta is from 0"),
        (lambda: DPMppSDE(eta=2.0), "eta is from 0"),
        (lambda: ChurnedHeun(churn=-0.1), "A churn adds noise"),
    ):
        with pytest.raises(ValueError, match=rule):
            make()


def test_command_lines_take_every_solver() -> None:
    assert set(get_args(SolverName)) == set(SOLVERS)


def test_a_denoiser_of_another_shape() -> None:
    levels = grids.karras(SD, 3)
    with pytest.raises(ValueError, match=r"latent's shape \(2, 2, 1\), received \(2, 2, 3\)"):
        sample(lambda y, s, c: jnp.tile(y, 3), jnp.ones(SHAPE), levels)


def test_a_trajectory_in_the_default_time() -> None:
    noise, levels = jnp.ones(SHAPE), grids.karras(SD, 3)
    path = trajectory(mixture(SHAPE), noise, levels, time=None)
    np.testing.assert_array_equal(path.states, trajectory(mixture(SHAPE), noise, levels).states)


def test_an_inversion_in_half_precision() -> None:
    """The highest level of a schedule without final signal is beyond float16."""
    levels = grids.karras(ZeroTerminalSNR(SD), 5)
    half = jnp.full(SHAPE, 0.7, jnp.float16)
    noise = invert(lambda y, s, c: (y / (1 + s**2)).astype(y.dtype), half, levels)
    assert np.all(np.isfinite(noise)) and np.abs(noise).max() > 0.1
