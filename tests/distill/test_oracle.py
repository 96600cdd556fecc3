"""Students of an exact teacher: the end of each sample's path is known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from distill_oracle import (
    distance,
    Network,
    NULL,
    samples,
    SCHEDULE,
    SHAPE,
    STUDENT,
    TEACHER,
    trained,
)

from equildm.data import LatentBatch
from equildm.denoise import AbstractDenoiser, EmbeddedGuidance, Guided
from equildm.distill import (
    CM,
    CoDi,
    embedded_guidance,
    GuidedDistillation,
    iCT,
    ProgressiveDistillation,
)
from equildm.noise import grids
from equildm.sampling import Consistency, DDIM, Heun, sample_from


class Jump(AbstractDenoiser):
    """The true consistency function: the end of the flow, by 40 steps of Heun's method."""

    def __call__(self, y, s, condition):
        levels = s ** jnp.linspace(1, 0, 40) * SCHEDULE.lowest ** jnp.linspace(0, 1, 40)
        return sample_from(TEACHER, y, jnp.append(levels, 0), Heun(), condition=NULL)


@pytest.fixture(scope="module")
def true_ends():
    """By one jump, and by four with fresh noise between."""
    return {steps: samples(Jump(), jumps(steps), Consistency()) for steps in (1, 4)}


def jumps(steps):
    """Of one shape, so that they are compiled once."""
    return jnp.asarray(grids.pad(grids.trailing(SCHEDULE, steps), 5))


@pytest.mark.parametrize(
    "objective",
    [
        pytest.param(CM(STUDENT, NULL, SCHEDULE, TEACHER), marks=pytest.mark.slow),
        pytest.param(
            CoDi(STUDENT, NULL, SCHEDULE, TEACHER, data_weight=0.0), marks=pytest.mark.slow
        ),
        iCT(STUDENT, NULL, SCHEDULE, updates=800),
    ],
    ids=["CM", "CoDi", "iCT"],
)
def test_consistency_students_jump_to_the_end_of_the_flow(objective, true_ends):
    """Sample by sample, from the same noise; where fresh noise is added, it is the same too."""
    states = trained(objective, Network(), (0, 200, 800))
    for steps, ends in true_ends.items():
        errors = [
            distance(
                samples(objective.function(s.average(), 1.0), jumps(steps), Consistency()), ends
            )
            for s in states
        ]
        assert errors[0] > errors[1] > errors[2]
        assert errors[2] < 0.15 and errors[2] < 0.6 * errors[0]


@pytest.mark.slow
def test_a_halving_is_two_steps_of_the_teacher():
    levels = jnp.asarray(grids.trailing(SCHEDULE, 8), jnp.float32)
    objective = ProgressiveDistillation(STUDENT, NULL, TEACHER, levels)
    before, after = trained(objective, Network(), (0, 500))
    teacher = Guided(TEACHER, 1.0)
    wanted, unhalved = samples(teacher, levels, DDIM()), samples(teacher, levels[::2], DDIM())
    errors = [
        distance(samples(Guided(STUDENT(s.model), 1.0), levels[::2], DDIM()), wanted)
        for s in (before, after)
    ]
    assert errors[0] > 0.2 and errors[1] < 0.04
    assert errors[1] < 0.4 * distance(unhalved, wanted)


@pytest.mark.slow
def test_a_guided_student_is_the_guided_teacher_at_scales_it_saw_and_did_not_see():
    conditions = jax.nn.one_hot(jnp.arange(256) % 3, 3) * 0.9 + 0.1 / 3

    @jax.jit
    def batches(seed):
        """Each example of a component that its condition makes likely."""
        which, noise = jax.random.split(jax.random.key(seed))
        k = jax.random.categorical(which, jnp.log(conditions))
        scale = TEACHER.stds[k].reshape(-1, 1, 1, 1)
        return LatentBatch(
            TEACHER.means[k] + scale * jax.random.normal(noise, (256, *SHAPE)), conditions
        )

    class ScaleConditioned(eqx.Module):
        network: Network

        def __call__(self, x, t, condition):
            mixture, guidance_scale = condition
            return self.network(x, t, (mixture, guidance_scale / 4))

    objective = GuidedDistillation(STUDENT, NULL, SCHEDULE, TEACHER, embedded_guidance(1.0, 5.0))
    (state,) = trained(objective, ScaleConditioned(Network(4)), (1000,), batches=batches)
    levels = jnp.asarray(grids.trailing(SCHEDULE, 10))
    conditional = samples(Guided(TEACHER, 1.0), levels, DDIM(), conditions)
    for scale, tolerance in ((2.0, 0.4), (3.0, 0.2), (6.0, 0.3)):
        wanted = samples(Guided(TEACHER, jnp.asarray(scale)), levels, DDIM(), conditions)
        student = EmbeddedGuidance(STUDENT(state.model), jnp.asarray(scale))
        error = distance(samples(student, levels, DDIM(), conditions), wanted)
        assert error < tolerance * distance(conditional, wanted)
