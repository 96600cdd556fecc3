"""Consistency distillation and training, of which the published recipes are presets."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._types import Key, Keys, Latent, NoiseLevel
from ..denoise import AbstractDenoiser
from ..train import AbstractMovingObjective, AbstractObjective, drop_caption, TrainState
from ..train.objective import Metrics
from .boundary import AbstractBoundary, ConsistencyFunction
from .distance import AbstractDistance, SquaredL2
from .guidance import Guidance, no_guidance, Weight
from .pairs import AbstractPairs, AbstractPairWeight, EqualPairs
from .student import AbstractStudent
from .target import AbstractTarget, EMATarget
from .trajectory import AbstractTrajectory

_NO_GUIDANCE = no_guidance()


class Draw(NamedTuple):
    """All that is random in the loss of an example; `condition` is the pair `(text, null)`."""

    s0: NoiseLevel
    s1: NoiseLevel
    noise: Latent
    weight: Weight
    condition: Any


class ConsistencyDistillation(AbstractMovingObjective):
    """Makes a student jump from any point of a trajectory to its end, by agreeing with itself.

    Two points of one trajectory of the teacher, `y0 = x0 + s0 eps` and the `y1` that `trajectory`
    finds at `s1`, shall lead to the same end (Song et al. 2023; Luo et al. 2023; Mei et al. 2023):

        f(y, s) = skip(s) y + out(s) D(y, s)
        loss = weight(s0, s1) d(f(y0, s0), f_target(y1, s1)) + data_weight d(f(y0, s0), x0)

    with no gradient through the target and the teacher. Each field is a choice of its own; `CoDi`,
    `LCM`, `CM` and `iCT` are presets.

    **Fields:**

    - `student`: from the trained arrays to a denoiser.
    - `null_text`: embedding of the empty caption.
    - `boundary`: `skip` and `out`.
    - `pairs`: draws `s0` and `s1`.
    - `trajectory`: a teacher's step from `y0` to `y1`, or the same noise and no teacher.
    - `target`: an average, or the student's own weights.
    - `distance`: `d`.
    - `pair_weight`: `weight`.
    - `data_weight`: of the distance to the data.
    - `guidance`: of teacher and student.
    - `dropout`: share of captions replaced by `null_text`.
    """

    student: AbstractStudent
    null_text: Any
    boundary: AbstractBoundary
    pairs: AbstractPairs
    trajectory: AbstractTrajectory
    target: AbstractTarget = EMATarget()
    distance: AbstractDistance = SquaredL2()
    pair_weight: AbstractPairWeight = EqualPairs()
    data_weight: float = eqx.field(static=True, default=0.0)
    guidance: Guidance = _NO_GUIDANCE
    dropout: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:
        if self.data_weight < 0 or not 0 <= self.dropout <= 1:
            raise ValueError(
                "A distillation has a data weight of at least 0 and a share of dropped captions "
                f"between 0 and 1, received {self.data_weight} and {self.dropout}."
            )

    def at(self, state: TrainState) -> "ConsistencyLoss":
        """See `AbstractMovingObjective`."""
        return ConsistencyLoss(self, self.target(state), state.step)

    def function(self, model: Any, weight: Weight) -> AbstractDenoiser:
        """`f` of these trained arrays, guided by `weight`."""
        function = ConsistencyFunction(self.student(model), self.boundary)
        return self.guidance.student(function, weight)

    def draw(self, key: Key, clean: Latent, text: Any, step: Int[Array, ""]) -> Draw:
        """Levels, noise, weight and caption of an example."""
        pair_key, noise_key, weight_key, drop_key = jax.random.split(key, 4)
        s0, s1 = self.pairs(pair_key, step)
        noise = jax.random.normal(noise_key, clean.shape, jnp.float32)
        text = drop_caption(drop_key, text, self.null_text, self.dropout)
        return Draw(s0, s1, noise, self.guidance.weight(weight_key), (text, self.null_text))


class ConsistencyLoss(AbstractObjective):
    """`ConsistencyDistillation` at a state of the training.

    **Fields:**

    - `choices`: the distillation.
    - `target`: the trained arrays that answer at `s1`.
    - `step`: updates done.
    """

    choices: ConsistencyDistillation
    target: Any
    step: Int[Array, ""]

    def __call__(self, model: Any, batch: Any, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`. `batch` has `latents` and `text`."""
        example = partial(self.example, model)
        consistency, data = jax.vmap(example)(batch.latents, batch.text, keys)
        metrics = {"consistency": jnp.mean(consistency)}
        if self.choices.data_weight:
            metrics["data"] = jnp.mean(data)
        return jnp.mean(consistency + self.choices.data_weight * data), metrics

    def example(
        self, model: Any, clean: Latent, text: Any, key: Key
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The weighted distance to the target, and that to the data (0 if it does not count)."""
        choices, clean = self.choices, clean.astype(jnp.float32)
        s0, s1, noise, weight, condition = choices.draw(key, clean, text, self.step)

        y1 = choices.trajectory(
            clean, noise, s0, s1, condition, lambda d: choices.guidance.teacher(d, weight)
        )
        target = choices.function(self.target, weight)(jax.lax.stop_gradient(y1), s1, condition)
        target = jax.lax.stop_gradient(target)
        jump = choices.function(model, weight)(clean + s0 * noise, s0, condition)

        consistency = choices.pair_weight(s0, s1) * choices.distance(jump, target)
        data = choices.distance(jump, clean) if choices.data_weight else jnp.zeros(())
        return consistency, data
