"""All states of a sample, from the noise to the latent."""

from typing import Any

import diffrax
import equinox as eqx
from jaxtyping import Array, Float

from .sampling import default_time, from_noise, Levels, solve, Tensor
from .solvers import DDIM
from .terms import Denoiser

_DDIM = DDIM()
_EVERY_STEP = diffrax.SaveAt(t0=True, steps=True)


class Trajectory(eqx.Module):
    """The states of one sample.

    **Fields:**

    - `levels`: the noise levels, from the first to the last.
    - `states`: the state at each of them.

    After the last step of a padded grid both are infinite.
    """

    levels: Float[Array, "saved"]
    states: Float[Array, "saved *shape"]

    def previews(self) -> Float[Array, "steps *shape"]:
        """The clean estimate that each step used, for previews: decode it with the VAE.

        The solution D of `y1 = (s1 / s0) y0 + (1 - s1 / s0) D`, which takes no evaluation of the
        network. With a stochastic solver it contains the fresh noise as well.
        """
        shape = (-1, *[1] * (self.states.ndim - 1))
        ratio = (self.levels[1:] / self.levels[:-1]).reshape(shape)
        return (self.states[1:] - ratio * self.states[:-1]) / (1 - ratio)


def trajectory(
    denoiser: Denoiser,
    noise: Tensor,
    levels: Levels,
    solver: diffrax.AbstractSolver = _DDIM,
    **options: Any,
) -> Trajectory:
    """All states of `sample`, with the same arguments.

    To save at other levels, give `solve` a `diffrax.SaveAt`.
    """
    time = options.setdefault("time", default_time(solver))
    y = from_noise(noise, levels)
    solution = solve(denoiser, y, levels, solver, saveat=_EVERY_STEP, **options)
    assert solution.ts is not None and solution.ys is not None
    return Trajectory(time.level(solution.ts), solution.ys)
