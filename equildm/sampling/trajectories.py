"""All states of a sample, from the noise to the latent."""

from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .sampling import from_noise
from .solve import default_time, Levels, OURS, solve, Tensor, to_clean
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
        clean = (self.states[1:] - ratio * self.states[:-1]) / (1 - ratio)
        return jnp.where(jnp.isfinite(ratio), clean, jnp.inf)


def trajectory(
    denoiser: Denoiser,
    noise: Tensor,
    levels: Levels,
    solver: diffrax.AbstractSolver = _DDIM,
    **options: Any,
) -> Trajectory:
    """All states of `sample`, with the same arguments.

    To save at other levels, give `solve` a `diffrax.SaveAt`. A solver of diffrax, too, has the
    first level and the clean estimate at level 0.
    """
    time = options["time"] = options.get("time") or default_time(solver)
    y = from_noise(noise, levels)
    solution = solve(denoiser, y, levels, solver, saveat=_EVERY_STEP, **options)
    assert solution.ts is not None and solution.ys is not None
    saved = jnp.where(jnp.isfinite(solution.ts), time.level(solution.ts), jnp.inf)
    if isinstance(solver, OURS):
        return Trajectory(saved, solution.ys)
    # The first step from far above the data is taken before diffrax's, the one to 0 after them.
    first, states = jnp.asarray(levels[0], saved.dtype), solution.ys
    before = saved[0] < 0.999 * first
    saved = jnp.where(before, jnp.roll(saved, 1).at[0].set(first), saved)
    states = jnp.where(before, jnp.roll(states, 1, axis=0).at[0].set(y), states)
    last = jnp.sum(jnp.isfinite(saved)) - 1
    clean = to_clean(denoiser, states[last], levels, options.get("condition"))
    to_zero = (levels[-1] == 0) & (last + 1 < len(saved))
    after = jnp.where(to_zero, last + 1, last)
    return Trajectory(
        saved.at[after].set(jnp.where(to_zero, 0, saved[after])),
        states.at[after].set(jnp.where(to_zero, clean, states[after])),
    )
