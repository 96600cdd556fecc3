"""Stable Diffusion's VAEs as diffusers saves them: the same outputs, the same bytes."""

import json

import jax
import numpy as np
import pytest
from helpers import others_slow

from equildm.interop import load_vae, open_weights, save_safetensors, save_vae, shipped_vae
from equildm.interop.shards import DIFFUSERS

TRUE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
SMALL = {
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "norm_num_groups": 8,
}
WIDER = {"latent_channels": 16, "in_channels": 1, "out_channels": 1, "layers_per_block": 1}
CASES = {
    "sd": SMALL
    | {
        "block_out_channels": (16, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "layers_per_block": 2,
    },
    "xl, wider": SMALL | WIDER | {"scaling_factor": 0.13025, "force_upcast": True},
    "sd3": {
        **SMALL,
        "latent_channels": 16,
        "scaling_factor": 1.5305,
        "shift_factor": 0.0609,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
}


def check(peer, config, folder, height=32, width=16):
    """That diffusers' VAE, saved in the folder, answers the same here: to the inputs, this."""
    random = np.random.default_rng(0)
    image = random.standard_normal((2, height, width, config.get("in_channels", 3)))
    factor = 2 ** (len(config["block_out_channels"]) - 1)
    latent = random.standard_normal(
        (2, height // factor, width // factor, config.get("latent_channels", 4))
    )
    arrays = {"image": image.astype(np.float32), "latent": latent.astype(np.float32)}
    options = {"class": "AutoencoderKL", "save": str(folder), "config": config}
    theirs = peer("pretrained", options, **arrays)
    vae = load_vae(folder)
    moments = jax.jit(jax.vmap(vae.encode))(arrays["image"])
    ours = {"mean": moments.mean, "log_variance": moments.log_variance}
    ours["decoded"] = jax.jit(jax.vmap(vae.decode))(arrays["latent"])
    for name, value in ours.items():
        error = relative(value, theirs[name])
        print(f"{name}: relative error {error:.1e}")
        assert error < 1e-4
    return vae, arrays, theirs


def relative(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.mark.parametrize("name", others_slow(CASES, "sd"))
def test_is_the_vae_of_diffusers(peer, tmp_path, name):
    """Saved again it has the same bytes, and diffusers reads it back as the same VAE."""
    first, second = tmp_path / "first", tmp_path / "second"
    vae, arrays, theirs = check(peer, CASES[name], first)
    assert vae.scale == CASES[name].get("scaling_factor", 0.18215)
    save_vae(second, vae)
    before, after = open_weights(first, DIFFUSERS), open_weights(second, DIFFUSERS)
    assert set(before) == set(after)
    assert all(before[k].tobytes() == after[k].tobytes() for k in before)
    again = peer("pretrained", {"class": "AutoencoderKL", "load": str(second)}, **arrays)
    assert max(relative(again[name], theirs[name]) for name in theirs) < 1e-6


@pytest.mark.slow
def test_at_true_size(peer, tmp_path):
    vae, *_ = check(peer, TRUE, tmp_path, 64, 32)
    assert sum(leaf.size for leaf in jax.tree.leaves(vae)) == 83_653_863


def test_the_names_of_stable_diffusion_1(tmp_path):
    """Its own files have other names for the attention's parts."""
    vae = load_vae()
    save_vae(tmp_path, vae)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = dict(open_weights(tmp_path, DIFFUSERS))
    for new_name, old_name in old.items():
        tensors = {k.replace(f".{new_name}.", f".{old_name}."): v for k, v in tensors.items()}
    save_safetensors(tmp_path / f"{DIFFUSERS}.safetensors", tensors)
    again = load_vae(tmp_path)
    assert all(map(np.array_equal, jax.tree.leaves(again), jax.tree.leaves(vae)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("act_fn", "gelu", "act_fn is 'gelu'"),
        ("use_quant_conv", False, "use_post_quant_conv is True"),
        ("_class_name", "AutoencoderTiny", "_class_name is 'AutoencoderTiny'"),
        ("down_block_types", ["AttnDownEncoderBlock2D"] * 3, "down_block_types"),
        ("block_out_channels", [24, 36, 48], "not multiples of the first"),
    ],
)
def test_vaes_of_another_kind_are_named(tmp_path, field, value, message):
    file = tmp_path / "config.json"
    fields = json.loads((shipped_vae() / "config.json").read_text())
    file.write_text(json.dumps(fields | {field: value}))
    with pytest.raises(ValueError, match=message) as error:
        load_vae(tmp_path)
    assert str(file) in str(error.value)
