"""Guided distillation, stage one: one evaluation in the place of guidance's two."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._types import Batch, Condition, Key, Keys, Latent, Metrics
from ..denoise import AbstractDenoiser
from ..noise import (
    AbstractSchedule,
    AbstractTimes,
    AbstractWeight,
    Clean,
    TruncatedSNR,
    UniformTimes,
)
from ..training import AbstractObjective
from .guidance import Guidance
from .student import AbstractStudent


class GuidedDistillation(AbstractObjective):
    """A guidance-conditioned student learns the guided teacher (Meng et al. 2023, equation 4).

        D_w = D_null + w (D_text - D_null)
        loss = weight(snr) mean((D_student(y, s, w) - D_w(y, s))^2)

    `w` is that of `Guided`; theirs is `w - 1`. Stage two is `ProgressiveDistillation` with
    `inherited_guidance`.

    **Fields:**

    - `student`: from the trained arrays to a denoiser; the network is `GuidanceConditioned`.
    - `null_text`: embedding of the empty caption.
    - `schedule`, `times`: which levels are trained.
    - `teacher`: a denoiser without guidance. No gradient passes.
    - `guidance`: `embedded_guidance(low, high)`. With `fixed_guidance(w)` the student learns one
        scale, and its network is not conditioned on it.
    - `weight`: see `equildm.noise`; theirs is `TruncatedSNR`.
    """

    student: AbstractStudent
    null_text: Condition
    schedule: AbstractSchedule
    teacher: AbstractDenoiser
    guidance: Guidance
    times: AbstractTimes = UniformTimes()
    weight: AbstractWeight = TruncatedSNR()

    def __call__(self, model: PyTree, batch: Batch, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`. `batch` has `latents` and `text`."""
        losses = jax.vmap(partial(self.example, model))(batch.latents, batch.text, keys)
        return jnp.mean(losses), {}

    def example(self, model: PyTree, clean: Latent, text: Condition, key: Key) -> Float[Array, ""]:
        """The weighted loss of one example."""
        time_key, noise_key, scale_key = jax.random.split(key, 3)
        clean = clean.astype(jnp.float32)
        s = self.schedule.level(self.times(time_key, self.schedule))
        y = clean + s * jax.random.normal(noise_key, clean.shape, jnp.float32)
        w = self.guidance.scale(scale_key)
        pair = (text, self.null_text)

        target = jax.lax.stop_gradient(self.guidance.teacher(self.teacher, w)(y, s, pair))
        answer = self.guidance.student(self.student(model), w)(y, s, pair)
        return self.weight(s**-2, Clean()) * jnp.mean((answer - target) ** 2)
