"""What `sample`, `solve` and the solvers refuse."""

from typing import get_args

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import mixture

from equildm.noise import grids, ScaledLinear
from equildm.sampling import (
    Ancestral,
    DDIM,
    DEIS,
    DPMpp2M,
    HalfLogSNR,
    LMS,
    sample,
    SDEDPMpp2M,
    solve,
    SolverName,
    SOLVERS,
    TCD,
    UniPC,
)

SD = ScaledLinear()
SHAPE = (2, 2, 1)


@pytest.mark.parametrize(
    "levels, rule",
    [
        (np.array([1.0, 2.0, 0.5]), "fall strictly"),
        (np.array([1.0, 1.0]), "fall strictly"),
        (np.array([3.0, 2.0, 2.0, 1.0]), "fall strictly"),
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
    ):
        with pytest.raises(ValueError, match=rule):
            make()


def test_command_lines_take_every_solver() -> None:
    assert set(get_args(SolverName)) == set(SOLVERS)
