"""Pipelines of Stable Diffusion 3: from the same noise, both libraries sample the same images."""

import dataclasses
import json

import numpy as np
import pytest
from model_folders import assert_saved_as_it_is
from text_folders import clip_folder, t5_folder

from equildm.interop import open_weights, Scheduler
from equildm.interop.mmdit import POSITIONS
from equildm.interop.shards import DIFFUSERS
from equildm.pipeline import TextToImage
from equildm.pretrained import default_layout, load_pretrained, part_tables, save_pretrained

PROMPTS = ["a red cat", "two dogs, and a very long tail of words"]
NOISE = np.random.default_rng(0).standard_normal((2, 16, 8, 16)).astype(np.float32)
CALL = {
    "prompt": PROMPTS,
    "negative_prompt": ["blue"] * 2,
    "height": 32,
    "width": 16,
    "num_inference_steps": 5,
    "guidance_scale": 4.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """For the pipeline; its tokenizers lie beside it."""
    path = tmp_path_factory.mktemp("sd3")
    clip_folder(path / "words" / "clip")
    t5_folder(path / "words" / "t5")
    return path


def sampled(model):
    images = TextToImage(model, height=32, width=16)(
        PROMPTS, steps=5, noise=NOISE, guidance_scale=4.0, negative_prompt="blue"
    )
    return np.clip(images / 2 + 0.5, 0, 1)


@pytest.mark.slow
@pytest.mark.peer
def test_the_same_images_in_and_out(peer, folder, tmp_path):
    public = str(folder / "pipeline")
    options = {"folder": public, "call": CALL, "make": str(folder / "words")}
    theirs = peer("stable_diffusion_3", options, noise=NOISE)["images"]
    assert np.std(theirs) > 0.05
    model = load_pretrained(public)
    assert model.config.sampling_steps == 28 and model.config.solver == "ddim"
    ours = sampled(model)
    error = np.abs(ours - theirs).max()
    print(f"{error:.1e}")
    assert error < 1e-4

    assert default_layout(tmp_path / "2", model) == "diffusers"
    save_pretrained(tmp_path / "2", model)
    again = peer("stable_diffusion_3", {"folder": str(tmp_path / "2"), "call": CALL}, noise=NOISE)
    assert np.abs(again["images"] - theirs).max() < 1e-5
    folders = (folder / "pipeline", tmp_path / "2")
    before, after = (open_weights(path / "transformer", DIFFUSERS) for path in folders)
    same = set(before) - {POSITIONS}  # which follow from the sizes
    assert set(before) == set(after)
    assert all(before[k].tobytes() == after[k].tobytes() for k in same)
    own = dataclasses.replace(model, config=dataclasses.replace(model.config, sampling_steps=9))
    for layout in ("diffusers", "equildm"):
        assert_saved_as_it_is(own, tmp_path / layout, layout)
    names = {part.name for part in part_tables(model, "diffusers")}
    assert names == {"transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"}
    other = dataclasses.replace(own.config.scheduler, document="")
    expected = dataclasses.replace(own.config, scheduler=other)
    assert load_pretrained(tmp_path / "diffusers", scheduler=other).config == expected
    with pytest.raises(ValueError, match="scheduler of flow matching, received DDIMScheduler"):
        load_pretrained(public, scheduler=Scheduler())


@pytest.mark.parametrize(
    "pipeline", ["StableDiffusionXLPipeline", "PixArtAlphaPAGPipeline", "FluxPipeline"]
)
def test_other_pipelines_are_refused_by_name(tmp_path, pipeline):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    with pytest.raises(
        ValueError, match=f"_class_name is '{pipeline}', and only .*Diffusion3Pipe.*Sigma"
    ):
        load_pretrained(tmp_path)


def test_a_pipeline_without_t5_is_refused(tmp_path):
    (tmp_path / "scheduler").mkdir()
    kind = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(kind))
    index = {"_class_name": "StableDiffusion3Pipeline"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="has no text_encoder_3, the T5"):
        load_pretrained(tmp_path)
