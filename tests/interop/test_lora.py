"""LoRA files against `diffusers` and `peft`: theirs read here, ours opened there."""

import json
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm import TextEmbedding
from equildm.interop import (
    clip_table,
    load_unet,
    open_weights,
    Pair,
    read_lora,
    read_weights,
    SafetensorsFile,
    save_lora,
    save_safetensors,
    unet_table,
)
from equildm.interop.compvis import compvis_unet_table
from equildm.interop.mapping import OIHW, OUT_IN, OUT_IN_POINTWISE, POINTWISE_OUT_IN
from equildm.interop.shards import TRANSFORMERS
from equildm.nn import Conv, Linear, merged, new_adapters, with_adapters
from equildm.text import CLIPConfig

FILE = "pytorch_lora_weights.safetensors"
UNET = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "cross_attention_dim": 24,
    "attention_head_dim": 4,
}
TEXT = {
    "vocab_size": 60,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 12,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
LAYERS = """to_q to_k to_v to_out.0 ff.net.0.proj ff.net.2 proj_in proj_out conv1 conv2 conv_in
    conv_out conv_shortcut time_emb_proj linear_1 downsamplers.0.conv upsamplers.0.conv""".split()
TEXT_LAYERS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def relative(ours, theirs):
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def inputs():
    random = np.random.default_rng(0)
    return {
        "x": random.standard_normal((2, 4, 6, 4), np.float32),
        "t": np.asarray([11.0, 801.0], np.float32),
        "text": random.standard_normal((2, 5, 24), np.float32),
        "ids": random.integers(2, 60, (2, 12)),
    }


@eqx.filter_jit
def outputs(networks, x, t, text, ids):
    embedding = TextEmbedding(text, jnp.ones(text.shape[:2], bool))
    return {
        "unet": jax.vmap(networks["unet"])(x, t, embedding),
        "text_encoder": jax.vmap(networks["text_encoder"])(ids),
    }


def answers(networks, adapters=None, change=with_adapters):
    adapted = {
        part: change(network, adapters[part]) if part in (adapters or {}) else network
        for part, network in networks.items()
    }
    return outputs(adapted, **jax.tree.map(jnp.asarray, inputs()))


class Base:
    """Networks that the public libraries drew and saved, and the tables of their layers."""

    def __init__(self, peer, folder, linear_projections):
        self.folder = str(folder)
        made = {"unet": UNET | {"use_linear_projection": linear_projections}, "text_encoder": TEXT}
        self.plain = peer("lora", {"base": self.folder, "make": made}, **inputs())
        unet, self.config = load_unet(folder / "unet")
        self.tables = {
            "unet": unet_table(self.config, linear_projections=linear_projections),
            "text_encoder": clip_table(2, prefix=""),
        }
        tower = CLIPConfig(vocabulary=60, width=24, depth=2, heads=4, hidden=40, longest=12)
        weights = open_weights(folder / "text_encoder", TRANSFORMERS)
        template = eqx.filter_eval_shape(tower.build, key=jax.random.key(0))
        text = read_weights(template, self.tables["text_encoder"], weights)
        self.networks = {"unet": unet, "text_encoder": text}

    def adapters(self, rank=3, alpha=None, scale=0.3):
        """Random ones on every layer."""
        keys = iter(jax.random.split(jax.random.key(5), 500))
        return {
            part: jax.tree.map(
                lambda x: scale * jax.random.normal(next(keys), x.shape),
                new_adapters(network, rank, layers=("*",), alpha=alpha, key=jax.random.key(1)),
            )
            for part, network in self.networks.items()
        }


@pytest.fixture(scope="module", params=[False, True], ids=["sd1", "sd2"])
def base(request, peer, tmp_path_factory):
    return Base(peer, tmp_path_factory.mktemp("base"), request.param)


@pytest.fixture(scope="module")
def sd1(peer, tmp_path_factory):
    return Base(peer, tmp_path_factory.mktemp("base"), False)


def agree(base, found, theirs, parts=("unet", "text_encoder")):
    assert set(found) == set(parts)
    for part in parts:
        assert relative(theirs[part], base.plain[part]) > 0.02
    for change in (with_adapters, merged):
        ours = answers(base.networks, found, change)
        errors = {part: relative(ours[part], theirs[part]) for part in parts}
        print(f"{change.__name__}: relative errors {errors}")
        assert max(errors.values()) < 1e-4


MIXED = {
    "unet": {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": LAYERS,
        "rank_pattern": {"conv1": 2, "to_q": 5},
        "alpha_pattern": {"conv1": 5, "attn2.to_k": 1.5},
    },
    "text_encoder": {"r": 2, "lora_alpha": 3, "target_modules": TEXT_LAYERS},
}
PLAIN = {
    "unet": {"r": 3, "lora_alpha": 3, "target_modules": LAYERS},
    "text_encoder": {"r": 2, "lora_alpha": 2, "target_modules": TEXT_LAYERS},
}


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("diffusers", MIXED),
        ("older diffusers", PLAIN),
        ("kohya", PLAIN),
        ("adapter", {"unet": MIXED["unet"]}),
        ("peft", {"unet": MIXED["unet"] | {"use_rslora": True}}),
    ],
)
def test_what_they_save_is_read_here(peer, base, tmp_path, layout, options):
    config = {"base": base.folder, "layout": layout, "lora": str(tmp_path), **options}
    theirs = peer("lora", config, **inputs())
    agree(base, read_lora(tmp_path, base.tables), theirs, tuple(options))


@pytest.mark.parametrize("layout", ["peft", "kohya"])
def test_what_is_saved_here_they_open(peer, base, tmp_path, layout):
    adapters = base.adapters(alpha=4.5)
    save_lora(tmp_path / FILE, adapters, base.tables, layout=layout)
    theirs = peer("lora", {"base": base.folder, "file": str(tmp_path / FILE)}, **inputs())
    agree(base, adapters, theirs)
    agree(base, read_lora(tmp_path, base.tables), theirs)
