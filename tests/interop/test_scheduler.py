"""Scheduler files: each field is read or refused by name, and what was read is written back."""

import dataclasses
import json

import numpy as np
import pytest
from scheduler_files import FLOW, OWN_FILES, read, SD

from equildm.interop import load_scheduler, save_scheduler, Scheduler
from equildm.interop.scheduler_classes import CLASSES
from equildm.interop.scheduler_file import has_diffusers_form, parse_scheduler
from equildm.noise import (
    Epsilon,
    ScaledLinear,
    SquaredCosine,
    Velocity,
    ZeroTerminalSNR,
)
from equildm.sampling import Ancestral, DDIM, DPMpp2M, DPMpp3M, SDEDPMpp2M


def write(folder, fields):
    text = json.dumps(fields)  # in one line, unlike what this library writes
    folder.mkdir()
    (folder / "scheduler_config.json").write_text(text)
    return text


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("EulerDiscreteScheduler", 14.6146),
        ("EulerAncestralDiscreteScheduler", 14.6146),
        ("HeunDiscreteScheduler", 14.6146),
        ("DPMSolverMultistepScheduler", 14.6146),
        ("DPMSolverSinglestepScheduler", 14.6146),
        ("UniPCMultistepScheduler", 14.6146),
        ("DDIMScheduler", 8.3907),
        ("DDPMScheduler", 8.3907),
    ],
)
def test_the_default_spacing_is_the_class_s(kind, first):
    assert read(kind).sampling(10).levels[0] == pytest.approx(first, rel=1e-4)


def test_a_class_gives_the_defaults_of_all_its_fields():
    scheduler = parse_scheduler({"_class_name": "HeunDiscreteScheduler"})
    assert (scheduler.schedule.start, scheduler.schedule.end) == (0.00085, 0.012)
    scheduler = parse_scheduler({"_class_name": "LCMScheduler"})
    assert scheduler.schedule == ScaledLinear() and scheduler.prediction == Epsilon()


@pytest.mark.parametrize(
    ("kind", "fields", "solver"),
    [
        ("DPMSolverMultistepScheduler", {}, DPMpp2M),
        ("DPMSolverMultistepScheduler", {"solver_order": 1}, DDIM),
        ("DPMSolverMultistepScheduler", {"solver_order": 3}, DPMpp3M),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, SDEDPMpp2M),
        (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "sde-dpmsolver++", "solver_order": 1},
            Ancestral,
        ),
    ],
)
def test_fields_select_the_solver(kind, fields, solver):
    assert type(read(kind, **fields).sampling(10).solver) is solver


DPM = "DPMSolverMultistepScheduler"


@pytest.mark.parametrize(
    ("fields", "few", "many"),
    [
        ({}, 0.0, 0.0),  # order 1 to level 0 by itself
        ({"final_sigmas_type": "sigma_min"}, 0.0292, 0.0),
        ({"final_sigmas_type": "sigma_min", "lower_order_final": False}, 0.0, 0.0),
        ({"final_sigmas_type": "sigma_min", "euler_at_final": True}, 0.0292, 0.0292),
    ],
)
def test_the_order_of_the_last_step(fields, few, many):
    scheduler = read(DPM, **fields)
    ends = [float(scheduler.sampling(n).solver.first_order_to) for n in (10, 15)]
    np.testing.assert_allclose(ends, (few, many), atol=1e-4)


def test_karras_takes_the_ends_of_the_spaced_grid():
    euler = [read("EulerDiscreteScheduler", timestep_spacing=s) for s in ("leading", "linspace")]
    karras = [
        read("EulerDiscreteScheduler", timestep_spacing=s, use_karras_sigmas=True)
        for s in ("leading", "linspace")
    ]
    for plain, spaced in zip(euler, karras, strict=True):
        ends = [scheduler.sampling(10).levels[[0, -2]] for scheduler in (plain, spaced)]
        np.testing.assert_allclose(*ends)
    narrow = read("EulerDiscreteScheduler", use_karras_sigmas=True, sigma_min=0.1, sigma_max=10.0)
    np.testing.assert_allclose(narrow.sampling(10).levels[[0, -2]], (10, 0.1))


def test_an_lcm_chooses_among_its_own_steps():
    scheduler = read("LCMScheduler", original_inference_steps=100)
    times = [999, 749, 499, 249]
    np.testing.assert_allclose(
        scheduler.sampling(4).levels[:-1], ScaledLinear().levels_at(np.array(times, float))
    )
    with pytest.raises(ValueError, match="in 1 to 100 steps, received 101"):
        scheduler.sampling(101)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (FLOW, {"invert_sigmas": True}, "invert_sigmas is True"),
        (FLOW, {"shift": 0.0}, "shift"),
        (FLOW, {"use_dynamic_shifting": True, "base_image_seq_len": 4096}, "the shift grows"),
        (FLOW, {"use_karras_sigmas": True, "use_beta_sigmas": True}, "Choose one"),
        ("FlowMatchHeunDiscreteScheduler", {"use_dynamic_shifting": True}, "does not have that"),
        ("FlowMatchLCMScheduler", {}, "_class_name is 'FlowMatchLCMScheduler', which is not"),
        ("EDMEulerScheduler", {"prediction_type": "v_prediction"}, "read for unit data only"),
        ("EDMEulerScheduler", {"sigma_schedule": "even"}, "sigma_schedule is 'even'"),
        (
            "EDMDPMSolverMultistepScheduler",
            {"solver_order": 3, "final_sigmas_type": "sigma_min"},
            "no length",
        ),
        (DPM, {"algorithm_type": "dpmsolver"}, "algorithm_type is 'dpmsolver'"),
        (DPM, {"algorithm_type": "sde-dpmsolver"}, "algorithm_type is 'sde-dpmsolver'"),
        (DPM, {"solver_type": "heun"}, "solver_type is 'heun'"),
        (DPM, {"solver_order": 4}, "solver_order is 4"),
        (DPM, {"solver_order": True}, "solver_order is True"),
        (DPM, {"use_lu_lambdas": True}, "use_lu_lambdas is True"),
        (DPM, {"variance_type": "learned"}, "variance_type is 'learned'"),
        (DPM, {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, "not supported together"),
        (DPM, {"final_sigmas_type": "none"}, "final_sigmas_type is 'none'"),
        ("DPMSolverSinglestepScheduler", {"solver_order": 3}, "solver_order is 3"),
        ("UniPCMultistepScheduler", {"solver_order": 4}, "solver_order is 4"),
        ("UniPCMultistepScheduler", {"solver_type": "bh1"}, "not supported together"),
        (
            "LMSDiscreteScheduler",
            {"use_karras_sigmas": True, "use_beta_sigmas": True},
            "use_karras_sigmas and use_beta_sigmas are both true",
        ),
        ("UniPCMultistepScheduler", {"predict_x0": False}, "predict_x0 is False"),
        ("UniPCMultistepScheduler", {"disable_corrector": [0]}, "disable_corrector"),
        ("UniPCMultistepScheduler", {"lower_order_final": False}, "infinitely long"),
        ("EulerDiscreteScheduler", {"timestep_type": "continuous"}, "timestep_type"),
        ("EulerDiscreteScheduler", {"interpolation_type": "cubic"}, "interpolation_type"),
        ("EulerDiscreteScheduler", {"timestep_spacing": "even"}, "timestep_spacing is 'even'"),
        ("EulerAncestralDiscreteScheduler", {"prediction_type": "sample"}, "prediction_type"),
        ("DDPMScheduler", {"variance_type": "fixed_large"}, "variance_type is 'fixed_large'"),
        ("DDIMScheduler", {"thresholding": True}, "thresholding is True"),
        ("DDIMScheduler", {"use_karras_sigmas": True}, "DDIMScheduler does not have that field"),
        ("DDIMScheduler", {"of_my_own": 1}, "of_my_own is 1, a field that DDIMScheduler does not"),
        ("HeunDiscreteScheduler", {"rescale_betas_zero_snr": True}, "does not have that field"),
        ("LCMScheduler", {"original_inference_steps": 1000}, "boundary condition"),
        ("LCMScheduler", {"timestep_scaling": 1.0}, "boundary condition"),
        (
            "DPMSolverSDEScheduler",
            {},
            "_class_name is 'DPMSolverSDEScheduler', which is not sampled here",
        ),
        ("IPNDMScheduler", {}, "_class_name is 'IPNDMScheduler'"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(kind, fields, message):
    with pytest.raises(ValueError, match=message):
        read(kind, **fields)


@pytest.mark.parametrize("kind", CLASSES)
def test_noise_predictions_need_a_signal(kind):
    if "rescale_betas_zero_snr" in CLASSES[kind].fields:
        with pytest.raises(ValueError, match="rescale_betas_zero_snr is True and prediction_type"):
            read(kind, rescale_betas_zero_snr=True)
        scheduler = read(kind, rescale_betas_zero_snr=True, prediction_type="v_prediction")
        assert scheduler.schedule == ZeroTerminalSNR(ScaledLinear())


@pytest.mark.parametrize(
    ("kind", "fields", "steps", "message"),
    [
        ("DDIMScheduler", {}, 1000, "'leading' do not fit the 1000 times"),
        ("DDIMScheduler", {}, 1001, "from 1 to 1000 steps"),
        (FLOW, {"shift_terminal": 0.1}, 1, "Use at least 2 steps"),
        ("EDMEulerScheduler", {"sigma_schedule": "exponential"}, 1, "at least 2 steps"),
        (FLOW, {}, 0, "at least 1 step"),
        (DPM, {"timestep_spacing": "leading"}, 1000, "'leading' do not fit the 1000 times"),
        ("HeunDiscreteScheduler", {"beta_schedule": "squaredcos_cap_v2"}, 10, "of order 2 from"),
    ],
)
def test_steps_that_the_public_grid_does_not_have(kind, fields, steps, message):
    with pytest.raises(ValueError, match=message):
        read(kind, **fields).sampling(steps)


@pytest.mark.parametrize("name", OWN_FILES)
def test_a_file_is_written_back_byte_for_byte(name, tmp_path):
    """Also fields of other classes that it carries along, and the order of its lines."""
    text = write(tmp_path / "in", OWN_FILES[name] | SD)
    scheduler = load_scheduler(tmp_path / "in")
    save_scheduler(tmp_path / "out", scheduler)
    assert (tmp_path / "out" / "scheduler_config.json").read_text() == text
    assert load_scheduler(tmp_path / "out") == scheduler and has_diffusers_form(scheduler)


def test_a_scheduler_that_says_another_thing_than_its_file_is_refused(tmp_path):
    write(tmp_path / "in", {"_class_name": "DDIMScheduler"} | SD)
    changed = dataclasses.replace(load_scheduler(tmp_path / "in"), prediction=Velocity())
    with pytest.raises(ValueError, match=r"prediction = .*document='' leaves out the file"):
        save_scheduler(tmp_path / "out", changed)
    save_scheduler(tmp_path / "out", dataclasses.replace(changed, document=""))
    assert load_scheduler(tmp_path / "out").prediction == Velocity()


@pytest.mark.parametrize(
    "scheduler",
    [
        Scheduler(spacing="lcm"),
        Scheduler(spacing="karras"),  # DDIM has no Karras levels
        Scheduler(kind="HeunDiscreteScheduler", schedule=ZeroTerminalSNR(ScaledLinear())),
        Scheduler(schedule=ZeroTerminalSNR(SquaredCosine()), prediction=Epsilon()),
        Scheduler(kind="DPMSolverSDEScheduler"),
    ],
)
def test_a_scheduler_without_a_public_form_is_refused(scheduler, tmp_path):
    with pytest.raises(ValueError, match=r"diffusers has no|layout equildm|not sampled here"):
        save_scheduler(tmp_path, scheduler)
    assert not has_diffusers_form(scheduler)
