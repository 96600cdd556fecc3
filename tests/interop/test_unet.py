"""Stable Diffusion's UNets as diffusers saves them: the same outputs, the same bytes."""

import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm import TextEmbedding
from equildm.denoise import guidance_sinusoid, GuidanceConditioned, preset
from equildm.interop import load_unet, open_weights, save_unet
from equildm.interop.shards import DIFFUSERS

SMALL = {
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "norm_num_groups": 16,
}
FULL = {"block_out_channels": (320, 640, 1280, 1280), "sample_size": 64}
SD1 = {"cross_attention_dim": 24, "attention_head_dim": 8}
TINY = SMALL | {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
}
SD2 = {"cross_attention_dim": 40, "attention_head_dim": (2, 4), "use_linear_projection": True}
CASES = {
    "sd1": SMALL | SD1,
    "sd2": TINY | SD2,
    "lcm": TINY | SD1 | {"time_cond_proj_dim": 12},
    "inpainting": TINY | SD1 | {"in_channels": 9},
    "depths": TINY | SD2 | {"layers_per_block": (1, 2), "transformer_layers_per_block": (2, 1)},
    "attends everywhere": {
        **TINY,
        **SD1,
        "down_block_types": ("CrossAttnDownBlock2D",) * 2,
        "up_block_types": ("CrossAttnUpBlock2D",) * 2,
        "transformer_layers_per_block": 2,
    },
}
TRUE = {
    "sd1": FULL | {"cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": FULL
    | {
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
}  # fmt: skip


def inputs(config, sizes, batch=2):
    """Latents of one size, a time and a caption for each of the batch."""
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, *sizes, config.get("in_channels", 4)), np.float32)
    t = np.linspace(3, 981, batch, dtype=np.float32)
    text = random.standard_normal((batch, 11, config["cross_attention_dim"]), np.float32)
    return x, t, text


def outputs(network, x, t, text, weights=None):
    captions = TextEmbedding(jnp.asarray(text), jnp.ones(text.shape[:2], bool))
    condition = captions if weights is None else (captions, jnp.asarray(weights))
    return eqx.filter_jit(eqx.filter_vmap(type(network).__call__, in_axes=(None, 0, 0, 0)))(
        network, x, t, condition
    )


def relative(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def check(peer, config, folder, sizes):
    """That diffusers' network, saved in the folder, answers the same here: to the inputs, this."""
    x, t, text = inputs(config, sizes)
    arrays, weights = {"x": x, "t": t, "text": text}, None
    if width := config.get("time_cond_proj_dim"):
        weights = np.asarray([1.5, 8.0], np.float32)
        arrays["weight"] = np.stack([guidance_sinusoid(jnp.asarray(w), width) for w in weights])
    options = {"class": "UNet2DConditionModel", "save": str(folder), "config": config}
    theirs = peer("pretrained", options, **arrays)["output"]
    network, config = load_unet(folder)
    error = relative(outputs(network, x, t, text, weights), theirs)
    print(f"relative error {error:.1e}")
    assert error < 1e-4
    return network, config, arrays, theirs


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        *(
            pytest.param(name, (16, 8), marks=[pytest.mark.slow] * (name != "sd2"))
            for name in CASES
        ),
        pytest.param("sd1", (8, 8), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_is_the_unet_of_diffusers(peer, tmp_path, name, sizes):
    """Saved again it has the same bytes, and diffusers reads it back as the same network."""
    first, second = tmp_path / "first", tmp_path / "second"
    network, config, arrays, theirs = check(peer, CASES[name], first, sizes)
    save_unet(second, network, config)
    before, after = open_weights(first, DIFFUSERS), open_weights(second, DIFFUSERS)
    assert set(before) == set(after)
    assert all(before[k].tobytes() == after[k].tobytes() for k in before)
    assert all(before[k].shape == after[k].shape for k in before)
    loaded = {"class": "UNet2DConditionModel", "load": str(second)}
    assert relative(peer("pretrained", loaded, **arrays)["output"], theirs) < 1e-6
    ours, theirs = (json.loads((f / "config.json").read_text()) for f in (second, first))
    assert all(theirs[key] == value for key, value in ours.items() if key in theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUE)
def test_at_true_size(peer, tmp_path, name):
    network, *_ = check(peer, TRUE[name], tmp_path, (16, 8))
    count = sum(leaf.size for leaf in jax.tree.leaves(network))
    assert count == {"sd1": 859_520_964, "sd2": 865_910_724}[name]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_in_shards(peer, tmp_path, dtype):
    first, second = tmp_path / "first", tmp_path / "second"
    peer(
        "pretrained",
        {
            "class": "UNet2DConditionModel",
            "save": str(first),
            "config": CASES["sd1"],
            "dtype": dtype,
            "shard": "500KB",
        },
    )
    assert len(list(first.glob("*.safetensors"))) > 1
    network, config = load_unet(first)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(network)} == {"float32"}
    network, config = load_unet(first, dtype="stored")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(network)} == {dtype}
    save_unet(second, network, config)
    theirs, ours = open_weights(first, DIFFUSERS), open_weights(second, DIFFUSERS)
    assert all(theirs[k].tobytes() == ours[k].tobytes() for k in theirs)


def test_an_lcm_is_guidance_conditioned(peer, tmp_path):
    folder = {"class": "UNet2DConditionModel", "save": str(tmp_path), "config": CASES["lcm"]}
    peer("pretrained", folder)
    network, config = load_unet(tmp_path)
    assert isinstance(network, GuidanceConditioned) and config.width == 12


WRONG = {
    "act_fn": ("gelu", "act_fn is 'gelu', and only 'silu'"),
    "_class_name": ("UNet3DConditionModel", "_class_name is 'UNet3DConditionModel'"),
    "addition_embed_type": ("text_time", "addition_embed_type is 'text_time'"),
    "down_block_types": (["AttnDownBlock2D"] * 3, "kind 'AttnDownBlock2D'"),
    "up_block_types": (["UpBlock2D"] * 3, "not the mirror"),
    "layers_per_block": ([1, 2], "not one entry for each of 3"),
    "block_out_channels": ([32, 48, 64], "not multiples of the first"),
    "cross_attention_dim": ([1, 2, 3], "not a whole number"),
    "transformer_layers_per_block": (3, "the middle has 3"),
    "attention_head_dim": (None, "there is no field 'attention_head_dim'"),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    config = preset(32, context_width=8, multipliers=(1, 2, 2), depths=(1, 1, 1),
                    transformer_depths=(1, 1, 0), groups=16)  # fmt: skip
    save_unet(folder, config.build(key=jax.random.key(0)), config)
    load_unet(folder)
    return folder


@pytest.mark.parametrize("field", WRONG)
def test_networks_of_another_kind_are_named(saved, tmp_path, field):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "config.json"
    value, message = WRONG[field]
    written = json.loads(file.read_text()) | {field: value}
    file.write_text(json.dumps({k: v for k, v in written.items() if v is not None}))
    with pytest.raises(ValueError, match=message) as error:
        load_unet(tmp_path)
    assert str(file) in str(error.value)
