"""LoRA files against `diffusers` and `peft`: theirs read here, ours opened there."""

import re
from functools import partial

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
    read_lora,
    read_weights,
    SafetensorsFile,
    save_lora,
    save_safetensors,
    unet_table,
)
from equildm.interop.compvis import compvis_unet_table
from equildm.interop.shards import TRANSFORMERS
from equildm.nn import merge_lora, new_lora, with_lora_layers
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
LAYERS = (
    r".*(to_[qkv]|to_out\.0|ff\.net\.(0\.proj|2)|proj_in|proj_out|time_emb_proj|linear_1"
    r"|conv\d?|conv_(in|out|shortcut))"
)
TEXT_LAYERS = r".*(_proj|fc\d)"


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


def answers(networks, adapters=None, change=with_lora_layers):
    adapted = {
        part: change(network, adapters[part]) if part in (adapters or {}) else network
        for part, network in networks.items()
    }
    return jax.device_get(outputs(adapted, **inputs()))


class Base:
    """Networks that the public libraries drew and saved, and the tables of their layers."""

    def __init__(self, peer, folder, linear_projections):
        self.folder = str(folder)
        options = {
            "unet": UNET | {"use_linear_projection": linear_projections},
            "text_encoder": TEXT,
        }
        self.plain = peer("lora", {"base": self.folder, "make": options}, **inputs())
        unet, self.config = load_unet(folder / "unet")
        self.tables = {
            "unet": unet_table(self.config),
            "text_encoder": clip_table(2, prefix=""),
        }
        tower = CLIPConfig(vocabulary=60, width=24, depth=2, heads=4, hidden=40, longest=12)
        weights = open_weights(folder / "text_encoder", TRANSFORMERS)
        template = eqx.filter_eval_shape(tower.build, key=jax.random.key(0))
        text = read_weights(template, self.tables["text_encoder"], weights)
        self.networks = {"unet": unet, "text_encoder": text}

    def adapters(self, rank=4, alpha=None, scale=0.3):
        """Random ones on every layer."""
        random, key = np.random.default_rng(5), jax.random.key(1)
        new = partial(new_lora, rank=rank, layers=("*",), alpha=alpha, key=key)
        return {
            part: jax.tree.map(
                lambda x: jax.device_put(scale * random.standard_normal(x.shape, np.float32)),
                eqx.filter_eval_shape(new, network),
            )
            for part, network in self.networks.items()
        }


@pytest.fixture(scope="module", params=[False, True], ids=["sd1", "sd2"])
def base(request, peer, tmp_path_factory):
    return Base(peer, tmp_path_factory.mktemp("base"), request.param)


@pytest.fixture(scope="module")
def sd1(peer, tmp_path_factory):
    return Base(peer, tmp_path_factory.mktemp("base"), False)


def agree(base, adapters, theirs, parts=("unet", "text_encoder"), change=merge_lora):
    """Merged, the networks of all files are one compiled program; wrapped, each its own."""
    assert set(adapters) == set(parts)
    for part in parts:
        assert relative(theirs[part], base.plain[part]) > 0.02
    ours = answers(base.networks, adapters, change)
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
    "unet": {"r": 4, "lora_alpha": 4, "target_modules": LAYERS},
    "text_encoder": {"r": 2, "lora_alpha": 2, "target_modules": TEXT_LAYERS},
}


# That layers with adapters give what merged ones do is a test of `tests/nn/test_lora.py`, too.
WRAPPED = pytest.param("diffusers", MIXED, with_lora_layers, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("layout", "options", "change"),
    [
        ("diffusers", MIXED, merge_lora),
        WRAPPED,
        ("older diffusers", PLAIN, merge_lora),
        ("kohya", PLAIN, merge_lora),
        ("adapter", {"unet": MIXED["unet"]}, merge_lora),
        ("peft", {"unet": MIXED["unet"] | {"use_rslora": True}}, merge_lora),
    ],
)
def test_what_they_save_is_read_here(peer, base, tmp_path, layout, options, change):
    config = {"base": base.folder, "layout": layout, "lora": str(tmp_path), **options}
    theirs = peer("lora", config, **inputs())
    agree(base, read_lora(tmp_path, base.tables), theirs, tuple(options), change)


@pytest.mark.parametrize("layout", ["peft", "kohya"])
def test_what_is_saved_here_they_open(peer, base, tmp_path, layout):
    adapters = base.adapters(alpha=4.5)
    save_lora(tmp_path / FILE, adapters, base.tables, layout=layout)
    theirs = peer("lora", {"base": base.folder, "file": str(tmp_path / FILE)}, **inputs())
    agree(base, adapters, theirs)
    agree(base, read_lora(tmp_path, base.tables), theirs)


def saved(base, folder, *, layout="peft", tables=None, **options):
    """A file of ours as a dictionary that a test may change."""
    adapters, tables = base.adapters(**options), tables or base.tables
    save_lora(folder / FILE, {part: adapters[part] for part in tables}, tables, layout=layout)
    return dict(SafetensorsFile(folder / FILE))


def same(adapters, expected):
    assert jax.tree.structure(adapters) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(adapters), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def processors(name):
    """As the first versions of diffusers called it; they had adapters of attention only."""
    name = name.replace("lora_A", "down").replace("lora_B", "up")
    name = re.sub(r"(attn\d)\.to_(q|k|v|out)(?:\.0)?\.", r"\1.processor.to_\2_lora.", name)
    return re.sub(r"self_attn\.(q|k|v|out)_proj\.", r"self_attn.to_\1_lora.", name)


def test_processors_of_the_first_versions(peer, base, tmp_path):
    tensors = saved(base, tmp_path)
    old = {processors(k): v for k, v in tensors.items() if "attn" in k}
    assert "text_encoder.text_model.encoder.layers.1.self_attn.to_q_lora.up.weight" in old
    assert (
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.down.weight"
    ) in old
    save_safetensors(tmp_path / "old" / FILE, old)
    config = {"base": base.folder, "file": str(tmp_path / "old" / FILE)}
    agree(base, read_lora(tmp_path / "old", base.tables), peer("lora", config, **inputs()))


def test_a_layer_goes_by_every_name(sd1, tmp_path):
    tensors = saved(sd1, tmp_path)
    expected = read_lora(tensors, sd1.tables)
    same(expected, sd1.adapters())
    unet = {"unet": expected["unet"]}

    def renamed(change):
        return {new: value for name, value in tensors.items() if (new := change(name))}

    of_unet = lambda name: name.removeprefix("unet.") if name.startswith("unet.") else None
    bare = renamed(of_unet)
    same(read_lora(bare, sd1.tables), unet)
    same(read_lora({f"base_model.model.{k}": v for k, v in bare.items()}, sd1.tables), unet)
    same(read_lora(renamed(lambda name: name.replace("text_model.", "")), sd1.tables), expected)
    linear = ".lora_linear_layer"
    dotted = lambda k: k.replace(".lora_A", f"{linear}.down").replace(".lora_B", f"{linear}.up")
    same(read_lora(renamed(dotted), sd1.tables), expected)
    with_prefix = sd1.tables | {"text_encoder": clip_table(2)}
    same(read_lora(tensors, with_prefix), expected)

    kohya = saved(sd1, tmp_path, layout="kohya")
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight" in kohya
    same(read_lora(kohya, sd1.tables), expected)
    te1 = {k.replace("lora_te_", "lora_te1_"): v for k, v in kohya.items()}
    same(read_lora(te1, sd1.tables), expected)


def test_names_of_the_original_code(sd1, tmp_path):
    tables = {"unet": compvis_unet_table(sd1.config)}
    tensors = saved(sd1, tmp_path, layout="kohya", tables=tables)
    block = "lora_unet_input_blocks_1_1_transformer_blocks_0"
    assert f"{block}_attn1_to_q.lora_down.weight" in tensors
    assert "lora_unet_middle_block_0_in_layers_2.alpha" in tensors
    same(read_lora(tensors, tables), {"unet": sd1.adapters()["unet"]})
    with pytest.raises(ValueError, match=r"lora_unet_input_blocks.*that is in no table"):
        read_lora({k: v for k, v in tensors.items() if "input_blocks" in k}, sd1.tables)


def test_kohya_scales_each_layer_by_its_own_alpha(sd1):
    """Against the trainer's formula, `W + alpha / rank up down`, on the saved weights."""
    random = np.random.default_rng(0)
    weights = dict(open_weights(f"{sd1.folder}/unet", "diffusion_pytorch_model"))
    changed, tensors = dict(weights), {}
    for i, name in enumerate(sorted(weights)):
        layer, _, kind = name.rpartition(".")
        if kind != "weight" or weights[name].ndim < 2:
            continue
        out, *inner = weights[name].shape
        rank, alpha = 1 + i % 3, [0.5, 2.0, None][i % 2 + i % 5 % 2]
        down = random.standard_normal((rank, *inner), np.float32)
        up = 0.1 * random.standard_normal((out, rank), np.float32)
        product = np.tensordot(up, down, 1)
        changed[name] = weights[name] + (1.0 if alpha is None else alpha / rank) * product
        key = f"lora_unet_{layer.replace('.', '_')}"
        tensors[f"{key}.lora_down.weight"] = down
        tensors[f"{key}.lora_up.weight"] = up.reshape(out, rank, *[1] * (len(inner) - 1))
        if alpha is not None:
            tensors[f"{key}.alpha"] = np.asarray(alpha, np.float16)
    adapters = read_lora(tensors, sd1.tables)["unet"]
    assert {factors.alpha / factors.up.shape[0] for factors in adapters.values()} > {1.0, 0.5, 2.0}
    unet = sd1.networks["unet"]
    expected = read_weights(unet, sd1.tables["unet"], changed)
    for ours, theirs in zip(
        jax.tree.leaves(merge_lora(unet, adapters)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", ["peft", "kohya"])
def test_read_and_written_again_a_file_is_the_same(sd1, tmp_path, layout, dtype):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    alpha = 6.0 if layout == "kohya" else None
    save_lora(first, sd1.adapters(alpha=alpha), sd1.tables, layout=layout, dtype=dtype)
    adapters = read_lora(first, sd1.tables)
    save_lora(second, adapters, sd1.tables, layout=layout, dtype=dtype)
    assert first.read_bytes() == second.read_bytes()
    assert {str(tensor.dtype) for tensor in SafetensorsFile(first).values()} == {dtype}
