"""Schedulers with a process of their own: flow matching and EDM."""

import dataclasses

import numpy as np
import pytest
from scheduler_files import FLOW, OWN_FILES, read

from equildm.interop import load_scheduler, save_scheduler, Scheduler
from equildm.interop.scheduler_file import parse_scheduler
from equildm.noise import (
    EDMPrediction,
    EDMSchedule,
    FlowVelocity,
    INFINITE_LEVEL,
    RectifiedFlow,
    Velocity,
)
from equildm.sampling import DDIM, DPMpp2M, FlowHeun


def test_flow_matching_is_sampled_along_shifted_times():
    """Stable Diffusion 3's: from noise alone, and the shift counts twice at the lower end."""
    scheduler = read(FLOW, shift=3.0)
    assert scheduler.schedule == RectifiedFlow() and scheduler.prediction == FlowVelocity()
    levels, solver, *scales = scheduler.sampling(28)
    assert levels[0] == INFINITE_LEVEL and levels[-1] == 0 and len(levels) == 29
    assert isinstance(solver, DDIM) and scales == [1.0, 1.0]
    shift = lambda u: 3 * u / (1 + 2 * u)
    assert levels[-2] / (1 + levels[-2]) == pytest.approx(shift(shift(0.001)))
    # The levels are the file's, whatever the solver.
    np.testing.assert_array_equal(scheduler.levels(28, "dpm++2m"), levels)
    heun = read("FlowMatchHeunDiscreteScheduler", shift=3.0).sampling(28)
    assert isinstance(heun.solver, FlowHeun)
    np.testing.assert_array_equal(heun.levels, levels)


def test_a_dynamic_shift_follows_the_image():
    scheduler = read(FLOW, use_dynamic_shifting=True)
    small, large = (scheduler.sampling(4, tokens).levels for tokens in (256, 4096))
    ratio = large[1:-1] / small[1:-1]  # in levels a shift is a factor: of exp(0.5) and of exp(1.15)
    np.testing.assert_allclose(ratio, np.exp(1.15 - 0.5), rtol=1e-6)
    with pytest.raises(ValueError, match=r"sampling\(steps, image_tokens=...\)"):
        scheduler.sampling(4)


def test_edm_has_its_own_process():
    scheduler = parse_scheduler(OWN_FILES["Playground 2.5"])
    assert scheduler.schedule == EDMSchedule(0.5) and scheduler.prediction == EDMPrediction(0.5)
    levels, solver, *_ = scheduler.sampling(20)
    assert levels[0] == pytest.approx(80) and levels[-2:] == pytest.approx([0.002, 0])
    assert isinstance(solver, DPMpp2M)
    unit = read("EDMEulerScheduler", sigma_data=1.0, prediction_type="v_prediction")
    assert unit.prediction == Velocity() and isinstance(unit.sampling(3).solver, DDIM)


@pytest.mark.parametrize(
    "scheduler",
    [
        Scheduler(RectifiedFlow(), FlowVelocity(), FLOW, "linspace", True),
        Scheduler(EDMSchedule(0.5), EDMPrediction(0.5), "EDMEulerScheduler", "linspace", True),
        Scheduler(EDMSchedule(low=0.01), Velocity(), "EDMEulerScheduler", "linspace", True),
    ],
    ids=["flow", "edm", "edm-v"],
)
def test_a_process_of_its_own_is_written_and_read(scheduler, tmp_path):
    save_scheduler(tmp_path, scheduler)
    loaded = load_scheduler(tmp_path)
    assert dataclasses.replace(loaded, document="") == scheduler
    np.testing.assert_array_equal(loaded.levels(9), scheduler.levels(9))
