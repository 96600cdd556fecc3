"""Trajectory consistency distillation's sampler."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from ...noise import AbstractSchedule, ScaledLinear
from .ancestral import check_eta
from .base import AbstractNoisySolver, Denoise, Tensor
from .exponential import decay, root


class TCD(AbstractNoisySolver[None]):
    """Strategic stochastic sampling (Zheng et al. 2024, algorithm 4):

        down = level(floor((1 - eta) t1)),    y1 = step(y0, s0, down) + sqrt(s1^2 - down^2) z

    with DDIM's step, and the time `t1` of the next level in the schedule. `eta = 0` is `DDIM`;
    `eta = 1` is `Consistency`, but for the noise of time 0. One evaluation a step. It is meant for
    consistency functions: its step down, and so its error, does not shrink on finer grids.
    """

    levels: Float[Array, "times"]
    downs: Float[Array, "times"]

    def __init__(self, schedule: AbstractSchedule | None = None, eta: float = 0.3):
        """**Arguments:**

        - `schedule`: whose times split the level. By default that of Stable Diffusion.
        - `eta`: the share of the time that is noised again ("gamma" in the paper), from 0 to 1.
        """
        check_eta(eta)
        table = np.exp(-(schedule or ScaledLinear()).table())
        times = np.floor((1 - eta) * np.arange(len(table))).astype(int)
        self.levels, self.downs = jnp.asarray(table), jnp.asarray(table[times])

    def advance(
        self,
        denoise: Denoise,
        y: Tensor,
        s0: NoiseLevel,
        s1: NoiseLevel,
        state: None,
        z: Tensor,
    ) -> tuple[Tensor, None]:
        down = jnp.interp(s1, self.levels, self.downs) * (s1 > 0)
        up = root(s1**2 - down**2)
        return decay(y, denoise(y, s0), s0, down.astype(s0.dtype)) + up.astype(s0.dtype) * z, None
