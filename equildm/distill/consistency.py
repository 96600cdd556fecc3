"""Consistency distillation and training. The published recipes are presets of it."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .._types import Batch, Condition, Key, Keys, Latent, Metrics, NoiseLevel
from ..denoise import AbstractDenoiser
from ..training import AbstractMovingObjective, AbstractObjective, drop_caption, TrainState
from .boundary import AbstractBoundary, ConsistencyFunction
from .distance import AbstractDistance, SquaredL2
from .guidance import Guidance, no_guidance, Scale
from .pairs import AbstractLevelPairs, AbstractPairWeight, EqualPairWeight
from .student import AbstractStudent
from .target import AbstractTarget, EMATarget
from .trajectory import AbstractTrajectory

_NO_GUIDANCE = no_guidance()


class Draw(NamedTuple):
    """The random quantities in the loss of an example; `condition` is the pair `(text, null)`."""

    s0: NoiseLevel
    s1: NoiseLevel
    noise: Latent
    guidance_scale: Scale
    condition: tuple[Condition, Condition]


class ConsistencyDistillation(AbstractMovingObjective):
    """Trains a student to jump from any point of a trajectory to its end.

    `y0 = x0 + s0 eps` and the `y1` that `trajectory` gives at `s1` lie on one trajectory of the
    teacher. The student's jumps from both shall lead to the same end (Song et al. 2023; Luo et al.
    2023; Mei et al. 2023):

        f(y, s) = skip(s) y + out(s) D(y, s)
        loss = weight(s0, s1) d(f(y0, s0), f_target(y1, s1)) + data_weight d(f(y0, s0), x0)

    with no gradient through the target and the teacher. Each field can be chosen independently;
    `CoDi`, `LCM`, `CM` and `iCT` are presets.

    **Fields:**

    - `student`: from the trained arrays to a denoiser.
    - `null_text`: embedding of the empty caption.
    - `boundary`: `skip` and `out`.
    - `pairs`: draws `s0` and `s1`.
    - `trajectory`: a teacher's step from `y0` to `y1`, or the same noise and no teacher.
    - `target`: an average of the student's weights, or the weights themselves.
    - `distance`: `d`.
    - `pair_weight`: `weight`.
    - `data_weight`: weight of the distance to the data.
    - `guidance`: of teacher and student.
    - `dropout`: share of captions replaced by `null_text`.
    """

    student: AbstractStudent
    null_text: Condition
    boundary: AbstractBoundary
    pairs: AbstractLevelPairs
    trajectory: AbstractTrajectory
    target: AbstractTarget = EMATarget()
    distance: AbstractDistance = SquaredL2()
    pair_weight: AbstractPairWeight = EqualPairWeight()
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

    def function(self, model: PyTree, guidance_scale: Scale) -> AbstractDenoiser:
        """`f` of these trained arrays, with guidance."""
        function = ConsistencyFunction(self.student(model), self.boundary)
        return self.guidance.student(function, guidance_scale)

    def draw(self, key: Key, clean: Latent, text: Condition, step: Int[Array, ""]) -> Draw:
        """Levels, noise, guidance scale and caption of an example."""
        pair_key, noise_key, scale_key, drop_key = jax.random.split(key, 4)
        s0, s1 = self.pairs(pair_key, step)
        noise = jax.random.normal(noise_key, clean.shape, jnp.float32)
        text = drop_caption(drop_key, text, self.null_text, self.dropout)
        return Draw(s0, s1, noise, self.guidance.scale(scale_key), (text, self.null_text))


class ConsistencyLoss(AbstractObjective):
    """`ConsistencyDistillation` at a state of the training.

    **Fields:**

    - `distillation`: what is minimised.
    - `target`: the weights whose answer at `s1` is the target.
    - `step`: number of updates done.
    """

    distillation: ConsistencyDistillation
    target: PyTree
    step: Int[Array, ""]

    def __call__(self, model: PyTree, batch: Batch, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`. `batch` has `latents` and `text`."""
        example = partial(self.example, model)
        consistency, data = jax.vmap(example)(batch.latents, batch.text, keys)
        metrics = {"consistency": jnp.mean(consistency)}
        if self.distillation.data_weight:
            metrics["data"] = jnp.mean(data)
        return jnp.mean(consistency + self.distillation.data_weight * data), metrics

    def example(
        self, model: PyTree, clean: Latent, text: Condition, key: Key
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The weighted distance to the target, and that to the data (0 where it has no weight)."""
        own, clean = self.distillation, clean.astype(jnp.float32)
        s0, s1, noise, w, condition = own.draw(key, clean, text, self.step)

        y1 = own.trajectory(clean, noise, s0, s1, condition, lambda d: own.guidance.teacher(d, w))
        target = own.function(self.target, w)(jax.lax.stop_gradient(y1), s1, condition)
        target = jax.lax.stop_gradient(target)
        jump = own.function(model, w)(clean + s0 * noise, s0, condition)

        consistency = own.pair_weight(s0, s1) * own.distance(jump, target)
        data = own.distance(jump, clean) if own.data_weight else jnp.zeros(())
        return consistency, data
