"""A step size controller that takes the steps of a grid of noise levels."""

from collections.abc import Callable

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .._types import Condition
from .diffrax_types import IntScalar, RealScalar, SUCCESSFUL, Terms


class StepGrid(diffrax.AbstractStepSizeController):
    """Takes the steps of a grid, until its last value is reached for the first time.

    As `diffrax.StepTo`, but the last value may be repeated. So grids of different numbers of steps,
    padded to one length (`grids.pad`), share one compilation, and each takes its own steps only.

    **Fields:**

    - `times`: the grid, from `t0` to `t1`.
    - `callback`: called on the host after each step, with the number of steps taken.
    """

    times: Float[Array, "times"]
    callback: Callable[[int], None] | None = eqx.field(static=True, default=None)

    def wrap(self, direction: IntScalar) -> "StepGrid":
        times = self.times * direction
        # `BacksolveAdjoint` steps along the grid in the other direction.
        return StepGrid(jnp.where(times[0] < times[-1], times, times[::-1]), self.callback)

    def init(
        self,
        terms: Terms,
        t0: RealScalar,
        t1: RealScalar,
        y0: PyTree,
        dt0: RealScalar | None,
        args: Condition,
        func: Callable[..., PyTree],
        error_order: RealScalar | None,
    ) -> tuple[Array, Array]:
        del terms, t0, t1, y0, args, func, error_order
        if dt0 is not None:
            raise ValueError(f"The grid gives the steps, received dt0 = {dt0}. Pass dt0=None.")
        return self.times[1], jnp.asarray(1)

    def adapt_step_size(
        self,
        t0: RealScalar,
        t1: RealScalar,
        y0: PyTree,
        y1_candidate: PyTree,
        args: Condition,
        y_error: PyTree,
        error_order: RealScalar | None,
        controller_state: Int[Array, ""],
    ) -> tuple[bool, RealScalar, Array, bool, Array, diffrax.RESULTS]:
        del t0, y0, y1_candidate, args, y_error, error_order
        steps = controller_state
        if self.callback is not None:
            jax.debug.callback(self.callback, steps)
        following = self.times[jnp.minimum(steps + 1, len(self.times) - 1)]
        return True, t1, following, False, steps + 1, SUCCESSFUL
