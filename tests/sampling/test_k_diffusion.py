"""The stochastic samplers of k-diffusion in numpy, beside ours with the same noise."""

import itertools
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called
from jaxtyping import Array
from oracle import mixture

from equildm.sampling import Ancestral, DPM2, DPMpp2S, DPMppSDE, SDEDPMpp2M, SDEDPMpp3M, solve

LEVELS = np.array([12.0, 6.0, 3.5, 1.4, 0.4, 0.1, 0.0])
NOISE = np.random.default_rng(0).normal(size=(6, 2, 2, 2, 1))
"""Two draws for each step."""


class Given(diffrax.AbstractBrownianPath):
    """The path whose steps have the noise above."""

    levy_area = diffrax.SpaceTimeLevyArea
    t0 = -np.inf
    t1 = np.inf

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True, use_levy: bool = False) -> Any:
        z = -jnp.asarray(NOISE)[jnp.sum(jnp.asarray(LEVELS) > t1 + 1e-9)]  # time runs down
        dt = t1 - t0
        w, h = z[0] * jnp.sqrt(dt), z[1] * jnp.sqrt(dt / 12)
        return diffrax.SpaceTimeLevyArea(dt=dt, W=w, H=h) if use_levy else w


def ours(solver: Any) -> Array:
    oracle, y = mixture(), 12 * jax.random.normal(jax.random.key(0), (2, 2, 1))
    return jax.jit(lambda y: solve(oracle, y, LEVELS, solver, path=Given()).ys[-1])(y)


def split(s0: float, s1: float, eta: float) -> tuple[float, float]:
    up = min(s1, eta * (s1**2 * (s0**2 - s1**2) / s0**2) ** 0.5)
    return (s1**2 - up**2) ** 0.5, up


def published(step: Any) -> np.ndarray:
    """The final state of a loop over the levels; `step(denoise, x, s0, s1, noise, memory)`."""
    oracle = mixture()
    denoise = lambda x, s: np.asarray(called(oracle, x, np.asarray(s)))
    x, memory = np.asarray(12 * jax.random.normal(jax.random.key(0), (2, 2, 1))), []
    for i in range(len(LEVELS) - 1):
        x = step(denoise, x, LEVELS[i], LEVELS[i + 1], NOISE[i], memory)
    return x


def second_order(kind: str, eta: float, scale: float) -> Any:
    """`sample_dpmpp_2s_ancestral`, `sample_dpm_2_ancestral` and `sample_dpmpp_sde`."""

    def step(denoise: Any, x: Any, s0: float, s1: float, noise: Any, memory: Any) -> Any:
        clean = denoise(x, s0)
        down, up = split(s0, s1, eta)
        if down == 0:
            return clean + (x - clean) * down / s0 + up * scale * noise[0]
        if kind == "sde":
            middle = (s0 * s1) ** 0.5
            inner_down, inner_up = split(s0, middle, eta)
            share = (s0 - middle) / (s0 - s1)
            halfway = share**0.5 * noise[0] + (1 - share) ** 0.5 * noise[1]
            there = inner_down / s0 * x + (1 - inner_down / s0) * clean + inner_up * scale * halfway
            x = down / s0 * x + (1 - down / s0) * denoise(there, middle)
        elif kind == "2s":
            middle = (s0 * down) ** 0.5
            there = middle / s0 * x + (1 - middle / s0) * clean
            x = down / s0 * x + (1 - down / s0) * denoise(there, middle)
        else:
            middle = (s0 * down) ** 0.5
            there = x + (x - clean) / s0 * (middle - s0)
            x = x + (there - denoise(there, middle)) / middle * (down - s0)
        return x + up * scale * noise[0]

    return step


def multistep(order: int, eta: float, scale: float) -> Any:
    """`sample_dpmpp_2m_sde` (midpoint), and `sample_dpmpp_3m_sde` after two of its steps."""

    def step(denoise: Any, x: Any, s0: float, s1: float, noise: Any, memory: Any) -> Any:
        clean = denoise(x, s0)
        if s1 == 0:
            return clean
        h = np.log(s0 / s1)
        long = h * (1 + eta)
        x1 = np.exp(-long) * x + (1 - np.exp(-long)) * clean
        memory.insert(0, (clean, s0))
        pairs = itertools.pairwise(memory)
        slopes = [(a - b) * h / np.log(s_b / s_a) for (a, s_a), (b, s_b) in pairs]
        if order == 3 and len(slopes) > 1:
            r0, r1 = (np.log(memory[i + 1][1] / memory[i][1]) / h for i in (0, 1))
            bend = slopes[0] - slopes[1]
            phi_2 = np.expm1(-long) / long + 1
            phi_3 = phi_2 / long - 0.5
            x1 = x1 + phi_2 * (slopes[0] + bend * r0 / (r0 + r1)) - phi_3 * bend / (r0 + r1)
        elif slopes:
            x1 = x1 + 0.5 * (1 - np.exp(-long)) * slopes[0]
        return x1 + scale * s1 * (1 - np.exp(-2 * h * eta)) ** 0.5 * noise[0]

    return step


@pytest.mark.parametrize(
    "eta, scale",
    [
        (0.6, 1.1),
        pytest.param(1.0, 1.0, marks=pytest.mark.slow),
        pytest.param(0.0, 1.0, marks=pytest.mark.slow),
    ],
)
def test_against_the_published_loops(eta: float, scale: float) -> None:
    with jax.enable_x64(True):
        for solver, step in (
            (Ancestral(eta, scale, DPMpp2S()), second_order("2s", eta, scale)),
            (Ancestral(eta, scale, DPM2()), second_order("2", eta, scale)),
            (DPMppSDE(eta, scale), second_order("sde", eta, scale)),
            (SDEDPMpp2M(eta=eta, noise_scale=scale), multistep(2, eta, scale)),
            (SDEDPMpp3M(True, eta=eta, noise_scale=scale), multistep(3, eta, scale)),
        ):
            np.testing.assert_allclose(
                ours(solver), published(step), rtol=1e-9, err_msg=str(solver)
            )
