"""Progressive distillation: one step of the student for two of the teacher, stage by stage."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._types import Batch, Condition, Key, Keys, Latent, Metrics
from ..denoise import AbstractDenoiser
from ..noise import AbstractWeight, Clean, TruncatedSNR
from ..training import AbstractObjective, drop_caption
from .guidance import Guidance, no_guidance
from .student import AbstractStudent
from .trajectory import flow_step

_NO_GUIDANCE = no_guidance()


class ProgressiveDistillation(AbstractObjective):
    """One halving of the steps (Salimans & Ho 2022, algorithm 2; Meng et al. 2023, stage two).

    The teacher takes two DDIM steps, from `s0` over `s1` to `s2`. The clean estimate with which a
    single DDIM step leads to the same place is the student's target:

        x_target = (y2 - (s2 / s0) y0) / (1 - s2 / s0)
        loss = weight(snr0) mean((D_student(y0, s0) - x_target)^2)

    (their formula, with both sides divided by alpha). At `s2 = 0` the target is `y2`. The trained
    student is the teacher of the next halving.

    **Fields:**

    - `student`: from the trained arrays to a denoiser.
    - `null_text`: embedding of the empty caption.
    - `teacher`: a denoiser. No gradient passes.
    - `levels`: the teacher's grid of `2 N` steps, for instance `grids.trailing(schedule, 2 N)`.
        The student's grid is every other level of it. Pad the grids of all stages to one shape by
        `grids.pad`, so that one compiled step serves them all.
    - `guidance`: of both; `inherited_guidance` where the teacher is guidance-conditioned.
    - `dropout`: share of captions replaced by `null_text`.
    - `weight`: see `equildm.noise`. `TruncatedSNR` is theirs: the larger of the squared errors of
        the clean estimate and of the noise estimate.
    """

    student: AbstractStudent
    null_text: Condition
    teacher: AbstractDenoiser
    levels: Float[Array, "levels"]
    guidance: Guidance = _NO_GUIDANCE
    dropout: float = eqx.field(static=True, default=0.0)
    weight: AbstractWeight = TruncatedSNR()

    def __check_init__(self) -> None:
        if isinstance(self.levels, jax.core.Tracer):
            return
        levels = np.asarray(self.levels)
        steps = int(np.sum(levels > levels[-1]))
        if steps < 2 or steps % 2:
            raise ValueError(
                "A halving needs a grid of an even number of steps, received "
                f"{steps}. Use grids.trailing(schedule, 2 * n)."
            )

    def __call__(self, model: PyTree, batch: Batch, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`. `batch` has `latents` and `text`."""
        losses = jax.vmap(partial(self.example, model))(batch.latents, batch.text, keys)
        return jnp.mean(losses), {}

    def example(self, model: PyTree, clean: Latent, text: Condition, key: Key) -> Float[Array, ""]:
        """The weighted loss of one example."""
        step_key, noise_key, scale_key, drop_key = jax.random.split(key, 4)
        steps = jnp.sum(self.levels > self.levels[-1])  # until the last is first reached
        i = 2 * jax.random.randint(step_key, (), 0, steps // 2)
        s0, s1, s2 = (self.levels[i + n].astype(jnp.float32) for n in range(3))
        clean = clean.astype(jnp.float32)
        y0 = clean + s0 * jax.random.normal(noise_key, clean.shape, jnp.float32)
        w = self.guidance.scale(scale_key)
        pair = (drop_caption(drop_key, text, self.null_text, self.dropout), self.null_text)

        teacher = self.guidance.teacher(self.teacher, w)
        y2 = flow_step(teacher, flow_step(teacher, y0, s0, s1, pair), s1, s2, pair)
        target = jax.lax.stop_gradient((y2 - s2 / s0 * y0) / (1 - s2 / s0))
        answer = self.guidance.student(self.student(model), w)(y0, s0, pair)
        return self.weight(s0**-2, Clean()) * jnp.mean((answer - target) ** 2)
