"""Distillation of flow matching and of EDM: the methods know levels, and no schedule."""

import jax.numpy as jnp
import pytest
from distill_oracle import distance, Network, NULL, samples, TEACHER, trained

from equildm.denoise import AbstractDenoiser, Guided
from equildm.distill import CM, CoDi, iCT, ProgressiveDistillation, Student
from equildm.noise import (
    AbstractSchedule,
    EDMPrediction,
    EDMSchedule,
    FlowVelocity,
    grids,
    RectifiedFlow,
)
from equildm.sampling import Consistency, DDIM, Heun, sample_from

PROCESSES = {
    "flow": (RectifiedFlow(), FlowVelocity()),
    "edm": (EDMSchedule(), EDMPrediction()),
}


class Jump(AbstractDenoiser):
    """The true consistency function of a schedule's lowest level."""

    schedule: AbstractSchedule

    def __call__(self, y, s, condition):
        high = jnp.minimum(s, 80.0)
        levels = high ** jnp.linspace(1, 0, 40) * self.schedule.lowest ** jnp.linspace(0, 1, 40)
        levels = jnp.concatenate([jnp.maximum(s, 80.01)[None], levels, jnp.zeros(1)])
        return sample_from(TEACHER, y, levels, Heun(), condition=NULL)


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("method", ["cm", "codi", "ict"])
def test_consistency_students_jump_to_the_end_of_the_flow(process, method):
    schedule, prediction = PROCESSES[process]
    student = Student(schedule, prediction)
    objective = {
        "cm": lambda: CM(student, NULL, schedule, TEACHER),
        "codi": lambda: CoDi(student, NULL, schedule, TEACHER, data_weight=0.0),
        "ict": lambda: iCT(student, NULL, schedule, updates=800),
    }[method]()
    levels = jnp.asarray(grids.trailing(schedule, 1))
    ends = samples(Jump(schedule), levels, Consistency())
    states = trained(objective, Network(), (0, 800))
    errors = [
        distance(samples(objective.function(s.average(), 1.0), levels, Consistency()), ends)
        for s in states
    ]
    assert errors[1] < 0.25 and errors[1] < 0.6 * errors[0], errors


@pytest.mark.slow
@pytest.mark.parametrize("process", PROCESSES)
def test_a_halving_is_two_steps_of_the_teacher(process):
    schedule, prediction = PROCESSES[process]
    student = Student(schedule, prediction)
    levels = jnp.asarray(grids.trailing(schedule, 8), jnp.float32)
    before, after = trained(
        ProgressiveDistillation(student, NULL, TEACHER, levels), Network(), (0, 500)
    )
    wanted = samples(Guided(TEACHER, 1.0), levels, DDIM())
    errors = [
        distance(samples(Guided(student(s.model), 1.0), levels[::2], DDIM()), wanted)
        for s in (before, after)
    ]
    assert errors[1] < 0.08 and errors[1] < 0.3 * errors[0], errors
