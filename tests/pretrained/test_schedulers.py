"""Schedulers in the folders of whole models: written as they are, read, replaced, sampled."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from model_folders import ONE_LEVEL

from equildm.denoise import GuidanceEmbeddingConfig
from equildm.distill import ConsistencyConfig
from equildm.interop import load_scheduler, Scheduler
from equildm.noise import ScaledLinear, Velocity
from equildm.pipeline import TextToImage
from equildm.pretrained import default_layout, load_pretrained, save_pretrained
from equildm.text import embed_prompts

SCHEDULER = "scheduler/scheduler_config.json"
LCM = GuidanceEmbeddingConfig(ONE_LEVEL, 16)


def configured(model, **changes):
    config = dataclasses.replace(model.config, **changes)
    network = config.network.build(key=jax.random.key(0))
    return dataclasses.replace(model, network=network, config=config)


def rewrite(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def edited(folder, **fields):
    file = folder / SCHEDULER
    rewrite(file, **fields)
    if "_class_name" in fields:
        rewrite(folder / "model_index.json", scheduler=["diffusers", fields["_class_name"]])
    (folder / "model.json").unlink()
    return file.read_text()


def test_the_index_and_the_file_name_the_same_class(model, tmp_path):
    """diffusers takes the class from the index, and only the fields from the file."""
    tmp_path = tmp_path / "1"
    save_pretrained(tmp_path, model)
    (tmp_path / "model.json").unlink()
    rewrite(tmp_path / "model_index.json", scheduler=["diffusers", "EulerDiscreteScheduler"])
    with pytest.raises(ValueError, match=r"model_index\.json .*'EulerDisc.*'DDIMScheduler'\. Make"):
        load_pretrained(tmp_path)
    assert load_pretrained(tmp_path, scheduler=Scheduler()).config.scheduler == Scheduler()
    rewrite(tmp_path / "model_index.json", scheduler=[None, None])
    assert load_pretrained(tmp_path).config.scheduler.kind == "DDIMScheduler"


def test_the_file_of_a_folder_is_written_back(model, tmp_path):
    save_pretrained(tmp_path / "1", model)
    text = edited(tmp_path / "1", _class_name="DPMSolverMultistepScheduler", solver_order=3)
    loaded = load_pretrained(tmp_path / "1")
    assert loaded.config.solver == "dpm++3m"
    for layout, name in (("diffusers", "2"), ("equildm", "3")):
        save_pretrained(tmp_path / name, loaded, layout=layout)
        assert load_pretrained(tmp_path / name).config == loaded.config
    assert (tmp_path / "2" / SCHEDULER).read_text() == text


@pytest.mark.parametrize("kind", ["FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler"])
def test_a_unet_is_not_asked_at_other_times_than_it_was_trained_at(model, tmp_path, kind):
    """diffusers asks EDM's networks at `log(s) / 4`, and samples no UNet of flow matching."""
    save_pretrained(tmp_path / "1", model)
    (tmp_path / "1" / SCHEDULER).write_text("{}")
    edited(tmp_path / "1", _class_name=kind)
    with pytest.raises(ValueError, match=f"A UNet is not sampled with {kind}: .*scheduler="):
        load_pretrained(tmp_path / "1")
    scheduler = load_scheduler(tmp_path / "1" / "scheduler")
    model = configured(model, scheduler=scheduler, solver=scheduler.sampler)
    assert default_layout(tmp_path / "2", model) == "equildm"
    save_pretrained(tmp_path / "2", model)
    assert load_pretrained(tmp_path / "2").config.scheduler == scheduler


@pytest.mark.slow
def test_a_folder_is_sampled_with_the_options_of_its_file(model, tmp_path):
    """Of the last step's order, where a named solver takes the default."""
    save_pretrained(tmp_path / "1", model)
    edited(
        tmp_path / "1",
        _class_name="DPMSolverMultistepScheduler",
        timestep_spacing="linspace",
        final_sigmas_type="sigma_min",
    )
    loaded = load_pretrained(tmp_path / "1")
    sampling = loaded.sampling(5)
    assert float(sampling.solver.first_order_to) == pytest.approx(ScaledLinear().lowest)
    assert sampling.latent_scale == pytest.approx(1 / np.sqrt(1 + ScaledLinear().lowest ** 2))
    sample = TextToImage(loaded)
    embedded = embed_prompts(loaded.text_encoder, ["a cat"], "")
    image = sample.generate(*embedded, levels=sampling)
    np.testing.assert_array_equal(sample(["a cat"], steps=5), image)


def test_another_scheduler_opens_a_folder_of_an_unknown_one(model, tmp_path):
    save_pretrained(tmp_path / "1", model)
    edited(tmp_path / "1", _class_name="DPMSolverSDEScheduler")
    with pytest.raises(
        ValueError, match=r"'DPMSolverSDEScheduler', which .* `scheduler=Scheduler\("
    ):
        load_pretrained(tmp_path / "1")
    scheduler = Scheduler(prediction=Velocity(), kind="EulerDiscreteScheduler")
    config = load_pretrained(tmp_path / "1", scheduler=scheduler).config
    assert config == dataclasses.replace(model.config, scheduler=scheduler, solver="euler")
    save_pretrained(tmp_path / "own", model, layout="equildm")
    with pytest.raises(ValueError, match="`scheduler` is for folders of diffusers"):
        load_pretrained(tmp_path / "own", scheduler=scheduler)


def test_a_spacing_without_a_public_form_is_refused(model, tmp_path):
    model = configured(model, scheduler=Scheduler(spacing="karras"))
    with pytest.raises(ValueError, match="no DDIMScheduler with spacing = 'karras'"):
        save_pretrained(tmp_path / "1", model, layout="diffusers")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("steps", "original"), [(4, 100), (5, 50), (2, 50)])
def test_a_distilled_model_is_an_lcm(model, tmp_path, steps, original):
    """With its own levels, where those are among 50 or 100."""
    model = configured(
        model,
        network=ConsistencyConfig(LCM, "time"),
        solver="consistency",
        sampling_steps=steps,
        scheduler=Scheduler(spacing="trailing", ends_clean=True),
    )
    save_pretrained(tmp_path / "1", model)
    assert load_pretrained(tmp_path / "1").config == model.config
    fields = json.loads((tmp_path / "1" / SCHEDULER).read_text())
    assert (fields["_class_name"], fields["original_inference_steps"]) == ("LCMScheduler", original)
    index = json.loads((tmp_path / "1" / "model_index.json").read_text())
    assert index["_class_name"] == "LatentConsistencyModelPipeline"
    assert index["scheduler"] == ["diffusers", "LCMScheduler"]
    (tmp_path / "1" / "model.json").unlink()
    public = load_pretrained(tmp_path / "1")
    assert public.config.solver == "consistency"
    np.testing.assert_allclose(public.sampling(steps).levels, model.levels(steps), rtol=1e-6)


def test_a_pipeline_of_lcms_that_clips_is_refused(model, tmp_path):
    """`StableDiffusionPipeline` sets `clip_sample` to false, and this pipeline does not."""
    lcm = Scheduler(kind="LCMScheduler", spacing="lcm", ends_clean=True)
    model = configured(model, network=LCM, solver="consistency", scheduler=lcm)
    save_pretrained(tmp_path / "1", model)
    edited(tmp_path / "1", clip_sample=True)
    with pytest.raises(ValueError, match="LatentConsistencyModelPipeline clips the sample"):
        load_pretrained(tmp_path / "1")
    clips = load_scheduler(tmp_path / "1" / "scheduler")
    with pytest.raises(ValueError, match="LatentConsistencyModelPipeline clips the sample"):
        save_pretrained(tmp_path / "2", configured(model, scheduler=clips), layout="diffusers")


@pytest.mark.parametrize(
    ("network", "solver", "message"),
    [
        (ConsistencyConfig(LCM, "level"), "consistency", "received the boundary 'level'"),
        (ConsistencyConfig(LCM, "time"), "consistency-deterministic", "draws fresh noise"),
        (LCM, "ddim", "embedded guidance with its LCMScheduler only"),
    ],
)
def test_what_no_public_pipeline_samples_is_refused(model, tmp_path, network, solver, message):
    model = configured(model, network=network, solver=solver)
    with pytest.raises(ValueError, match=message):
        save_pretrained(tmp_path / "1", model, layout="diffusers")
    assert default_layout(tmp_path / "1", model) == "equildm"
