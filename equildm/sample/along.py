"""Stepping along a grid."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class StepAlong(diffrax.AbstractStepSizeController):
    """Takes the steps of a grid, up to where its last value is first reached.

    As `diffrax.StepTo`, except that the end of the grid may be repeated: grids of different numbers
    of steps, padded to one length, share a compilation, and each costs its own steps only.

    **Fields:**

    - `times`: the grid, with `t0` first and `t1` last.
    - `callback`: called on the host after each step with the number of steps done.
    """

    times: Float[Array, "times"]
    callback: Callable[[int], None] | None = eqx.field(static=True, default=None)

    def wrap(self, direction: Any) -> "StepAlong":
        times = self.times * direction
        # The adjoint of a solve by `BacksolveAdjoint` runs along the grid the other way.
        return StepAlong(jnp.where(times[0] < times[-1], times, times[::-1]), self.callback)

    def init(
        self,
        terms: Any,
        t0: Any,
        t1: Any,
        y0: Any,
        dt0: Any,
        args: Any,
        func: Any,
        error_order: Any,
    ) -> tuple[Array, Array]:
        del terms, t0, t1, y0, args, func, error_order
        if dt0 is not None:
            raise ValueError(f"The grid gives the steps, received dt0 = {dt0}. Pass dt0=None.")
        return self.times[1], jnp.asarray(1)

    def adapt_step_size(
        self,
        t0: Any,
        t1: Any,
        y0: Any,
        y1_candidate: Any,
        args: Any,
        y_error: Any,
        error_order: Any,
        controller_state: Int[Array, ""],
    ) -> tuple[bool, Array, Array, bool, Array, Any]:
        del t0, y0, y1_candidate, args, y_error, error_order
        steps = controller_state
        if self.callback is not None:
            jax.debug.callback(self.callback, steps)
        following = self.times[jnp.minimum(steps + 1, len(self.times) - 1)]
        return True, t1, following, False, steps + 1, diffrax.RESULTS.successful
