"""Pipelines of diffusers: from the same noise, both libraries sample the same images."""

import dataclasses

import jax
import numpy as np
import pytest
from helpers import trees_equal
from text_folders import clip_folder

from equildm.interop import open_weights, SafetensorsFile, save_safetensors
from equildm.interop.shards import DIFFUSERS
from equildm.pipeline import TextToImage
from equildm.pretrained import (
    load_diffusers,
    load_single_file,
    save_diffusers,
    save_single_file,
)
from equildm.text import CLIPText

PROMPTS = ["a red cat", "two dogs, and a very long tail of words"]
NOISE = np.random.default_rng(0).standard_normal((2, 16, 8, 4)).astype(np.float32)
CALL = {"prompt": PROMPTS, "negative_prompt": ["blue"] * 2, "height": 32, "width": 16}
DDIM_CALL = CALL | {"scheduler": "DDIMScheduler", "num_inference_steps": 10, "guidance_scale": 5.0}
DPM_CALL = DDIM_CALL | {"scheduler": "DPMSolverMultistepScheduler"}
FROM_NOTHING = "trailing from no signal"
CASES = {
    "epsilon": {"unet": {"attention_head_dim": 4}, "scheduler": {"set_alpha_to_one": False}},
    "velocity": {
        "prediction": "v_prediction",
        "unet": {"use_linear_projection": True, "attention_head_dim": (2, 4)},
        "hidden_act": "gelu",
    },
    FROM_NOTHING: {
        "prediction": "v_prediction",
        "scheduler": {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True},
    },
}


def make(peer, folder, options, samples):
    clip_folder(folder / "vocabulary")
    config = {"folder": str(folder / "pipeline")}
    vocabulary = str(folder / "vocabulary")
    peer("stable_diffusion", config | {"make": {"vocabulary": vocabulary, **options}})
    theirs = peer("stable_diffusion", config | {"samples": samples}, noise=NOISE)
    return folder / "pipeline", theirs


def sampled(model, solver):
    images = TextToImage(model, height=32, width=16)(
        PROMPTS, steps=10, noise=NOISE, solver=solver, guidance_scale=5.0, negative_prompt="blue"
    )
    return np.clip(images / 2 + 0.5, 0, 1)


@pytest.mark.parametrize(
    ("name", "solver"),
    [
        ("velocity", "dpm++2m"),
        # Each compiles a whole pipeline.
        pytest.param("epsilon", "ddim", marks=pytest.mark.slow),
        pytest.param(FROM_NOTHING, "ddim", marks=pytest.mark.slow),
        pytest.param("epsilon", "dpm++2m", marks=pytest.mark.slow),
        pytest.param("velocity", "ddim", marks=pytest.mark.slow),
        pytest.param(FROM_NOTHING, "dpm++2m", marks=pytest.mark.slow),
    ],
)
def test_the_same_images(peer, tmp_path, name, solver):
    call = {"ddim": DDIM_CALL, "dpm++2m": DPM_CALL}[solver]
    folder, theirs = make(peer, tmp_path, CASES[name], [call])
    ours = sampled(load_diffusers(folder), solver)
    error = np.abs(ours - theirs["0"]).max()
    print(f"{name}, {solver}: {error:.1e}")
    assert np.std(theirs["0"]) > 0.05
    # Where DDIM starts from no signal at all, the public DPM-Solver++ starts from s = 4096.
    assert error < (2e-3 if name == FROM_NOTHING and solver == "dpm++2m" else 1e-4)


def test_saved_again_it_is_the_same_to_diffusers(peer, tmp_path):
    folder, theirs = make(peer, tmp_path, CASES["velocity"], [DPM_CALL])
    model = load_diffusers(folder)
    again = tmp_path / "again"
    save_diffusers(again, model)
    for part, stem in (("unet", DIFFUSERS), ("vae", DIFFUSERS), ("text_encoder", "model")):
        before, after = open_weights(folder / part, stem), open_weights(again / part, stem)
        assert set(before) == set(after)
        assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    ours = peer("stable_diffusion", {"folder": str(again), "samples": [DPM_CALL]}, noise=NOISE)
    np.testing.assert_allclose(ours["0"], theirs["0"], atol=1e-5)


# No tensor tells the groups of a norm or the heads of CLIP: a single file is taken to have 32
# groups, and heads 64 wide.
TEXT = {"hidden_size": 128, "num_attention_heads": 2, "hidden_act": "quick_gelu"}
UNET = {"norm_num_groups": 32, "cross_attention_dim": 128}
VAE = {"norm_num_groups": 32, "block_out_channels": (32, 64)}
SINGLE = {
    "1": {**TEXT, "unet": {**UNET, "attention_head_dim": 8}, "vae": VAE},
    "2": {
        **TEXT,
        "prediction": "v_prediction",
        "unet": {**UNET, "attention_head_dim": (2, 4), "use_linear_projection": True},
        "vae": VAE,
    },
}


@pytest.mark.parametrize("version", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_single_file(peer, tmp_path, version):
    """diffusers reads the file that we write to the same pipeline, and so do we."""
    folder, theirs = make(peer, tmp_path, SINGLE[version], [DPM_CALL])
    model = load_diffusers(folder)
    file = tmp_path / "model.safetensors"
    save_single_file(file, model)
    config = {"file": str(file), "folder": str(folder), "samples": [DPM_CALL]}
    there = peer("stable_diffusion", config, noise=NOISE)
    np.testing.assert_allclose(there["0"], theirs["0"], atol=1e-5)

    bare = tmp_path / "bare.safetensors"  # as others write it, without our configs
    save_safetensors(bare, dict(SafetensorsFile(file)))
    prediction = SINGLE[version].get("prediction", "epsilon")
    heads = SINGLE[version]["unet"]["attention_head_dim"]
    again = load_single_file(bare, folder / "tokenizer", prediction=prediction, heads=heads)
    recorded = load_single_file(file, folder / "tokenizer")
    assert recorded.config == model.config
    # The same networks, but for the names of CLIP's tensors.
    for other in (again, recorded):
        towers = [model.text_encoder.tower, other.text_encoder.tower]
        configs = [dataclasses.replace(tower.config, prefix="") for tower in towers]
        leaves = [jax.tree.leaves(tower) for tower in towers]
        assert configs[0] == configs[1] and all(map(np.array_equal, *leaves))
        assert trees_equal((other.network, other.vae), (model.network, model.vae))
        assert other.prediction == model.prediction
        assert other.config.network == model.config.network
    second = tmp_path / "second.safetensors"
    save_single_file(second, again)
    before, after = SafetensorsFile(file), SafetensorsFile(second)
    assert set(before) == set(after)
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_single_file_of_open_clip(peer, tmp_path):
    """As Stable Diffusion 2's own: query, key and value fused, the last layer there and unused."""
    folder, _ = make(peer, tmp_path, SINGLE["2"] | {"hidden_act": "gelu"}, [])
    model = load_diffusers(folder)
    text = CLIPText(model.text_encoder.tower, model.text_encoder.tokenizer, skip=1)
    model = dataclasses.replace(model, text_encoder=text)
    file = tmp_path / "model.safetensors"
    save_single_file(file, model, dtype="float16")
    assert "cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight" in SafetensorsFile(
        file
    )
    again = load_single_file(file, folder / "tokenizer", prediction="v_prediction", heads=(2, 4))
    assert again.text_encoder.skip == 1
    for ours, theirs in zip(
        jax.tree.leaves(again.text_encoder.tower), jax.tree.leaves(text.tower), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_single_files_that_are_none(peer, tmp_path):
    folder, _ = make(peer, tmp_path, SINGLE["1"], [])
    model = load_diffusers(folder)
    file = tmp_path / "model.safetensors"
    save_single_file(file, model)
    tensors = dict(SafetensorsFile(file))
    extras = {
        "betas": np.zeros(1000, np.float32),
        "model_ema.decay": np.zeros((), np.float32),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": np.arange(77)[None],
    }
    save_safetensors(file, tensors | extras)
    load_single_file(file, folder / "tokenizer", heads=8)

    def error(change, drop=""):
        save_safetensors(file, {k: v for k, v in (tensors | change).items() if k != drop})
        with pytest.raises(ValueError) as raised:
            load_single_file(file, folder / "tokenizer", heads=8)
        assert str(file) in str(raised.value)
        return str(raised.value)

    unet = "model.diffusion_model."
    assert "'control_model.x' belongs to no part" in error({"control_model.x": np.zeros((2, 2))})
    assert "not expected 'input_blocks.9" in error({f"{unet}input_blocks.9.0.bias": np.zeros(2)})
    assert "no tensor 'input_blocks.0.0.weight'" in error({}, f"{unet}input_blocks.0.0.weight")
    assert "missing 'out.2.bias'" in error({}, f"{unet}out.2.bias")
    assert "'out.0.bias' must have shape (32,)" in error({f"{unet}out.0.bias": np.zeros(3)})
