"""An optimiser that knows its learning rate, so that a run can log it."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree


class ScheduledOptimizer(optax.GradientTransformation):
    """An optax transformation with the schedule of its learning rate.

    It is the transformation that it is made of, and has its state: `make_step` logs the rate.

    **Fields:**

    - `schedule`: the learning rate by the number of updates that were made before.
    """

    schedule: optax.Schedule

    def __new__(
        cls, optimizer: optax.GradientTransformation, schedule: optax.Schedule
    ) -> "ScheduledOptimizer":
        self = super().__new__(cls, optimizer.init, optimizer.update)
        self.schedule = schedule
        return self

    def rate(self, state: PyTree) -> Float[Array, ""]:
        """The learning rate of the next update. A step that fails makes none.

        **Arguments:**

        - `state`: of the optimiser, which counts the updates.

        **Raises** `ValueError` for a state that does not count.
        """
        counts = optax.tree.get_all_with_path(state, "count")
        if not counts:
            raise ValueError(
                "An optimiser whose learning rate is logged counts its updates, received a state "
                "without a `count`. Leave out ScheduledOptimizer."
            )
        _, count = counts[0]
        return jnp.asarray(self.schedule(count), jnp.float32)
