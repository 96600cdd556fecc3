"""The transformers of diffusers: the same outputs, the same bytes, and what is refused."""

import json

import equinox as eqx
import jax
import numpy as np
import pytest
from helpers import others_slow, trees_equal

from equildm import TextEmbedding
from equildm.denoise import DiTConfig, MMDiTConfig, ResolutionConditioningConfig
from equildm.interop import (
    load_dit,
    load_mmdit,
    open_weights,
    save_dit,
    save_mmdit,
    save_safetensors,
)
from equildm.interop.dit_fields import from_dit, to_dit
from equildm.interop.mmdit import from_sd3, POSITIONS
from equildm.interop.shards import DIFFUSERS

SIZES = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "num_layers": 3,
    "in_channels": 4,
    "patch_size": 2,
}
SD3 = SIZES | {
    "sample_size": 16,
    "out_channels": 4,
    "joint_attention_dim": 20,
    "caption_projection_dim": 24,
    "pooled_projection_dim": 10,
    "pos_embed_max_size": 12,
}
PIXART = SIZES | {
    "sample_size": 16,
    "out_channels": 8,
    "cross_attention_dim": 24,
    "caption_channels": 20,
}
DIT = SIZES | {"sample_size": 16, "out_channels": 8, "num_embeds_ada_norm": 7}
CASES = {
    "sd3": ("SD3Transformer2DModel", SD3),
    "sd3.5": (
        "SD3Transformer2DModel",
        SD3
        | {
            "num_layers": 4,
            "dual_attention_layers": (0, 1),
            "qk_norm": "rms_norm",
            "in_channels": 16,
            "out_channels": 16,
        },
    ),
    "sd3 of one block": ("SD3Transformer2DModel", SD3 | {"num_layers": 1, "patch_size": 4}),
    "pixart": ("PixArtTransformer2DModel", PIXART),
    "pixart large": (
        "PixArtTransformer2DModel",
        PIXART | {"sample_size": 128, "use_additional_conditions": False, "num_layers": 1},
    ),
    "dit": ("DiTTransformer2DModel", DIT),
}


def inputs(kind, config, sizes, batch=3):
    """Latents of one size, and times and conditions that differ."""
    random = np.random.default_rng(0)
    draw = lambda *shape: random.standard_normal((batch, *shape), np.float32)
    arrays = {"x": draw(*sizes, config["in_channels"]), "t": np.linspace(3, 981, batch, dtype="f")}
    if kind == "DiTTransformer2DModel":
        classes = config["num_embeds_ada_norm"]
        labels = np.array([0, classes - 1, classes])  # the last is the null class
        pooled = np.eye(classes + 1, dtype="f")[labels]
        text = np.zeros((batch, 1, 1), "f"), np.ones((batch, 1), bool), pooled
        return arrays | {"class_labels": labels}, TextEmbedding(*jax.device_put(text))
    tokens = draw(11, config.get("joint_attention_dim", config.get("caption_channels")))
    mask = np.ones((batch, 11), bool)
    arrays["encoder_hidden_states"] = tokens
    if kind == "SD3Transformer2DModel":
        pooled = arrays["pooled_projections"] = draw(config["pooled_projection_dim"])
        return arrays, TextEmbedding(*jax.device_put((tokens, mask, pooled)))
    mask[1, 6:] = False
    arrays["encoder_attention_mask"] = mask.astype(np.float32)
    return arrays, TextEmbedding(*jax.device_put((tokens, mask)))


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        *others_slow([(name, (16, 16)) for name in CASES]),
        *others_slow(
            [(name, (8, 20)) for name in CASES if name != "dit"],
            ("sd3.5", (8, 20)),
            ("pixart", (8, 20)),
        ),
        ("dit", (8, 8)),
    ],
    ids=str,
)
def test_is_the_transformer_of_diffusers(peer, tmp_path, name, sizes):
    """To 1e-5. Saved again it has the same bytes, and diffusers reads it as the same network."""
    kind, config = CASES[name]
    load, save = (load_mmdit, save_mmdit) if name.startswith("sd3") else (load_dit, save_dit)
    first, second = tmp_path / "first", tmp_path / "second"
    arrays, text = inputs(kind, config, sizes)
    options = {"class": kind, "save": str(first), "config": config}
    theirs = peer("pretrained", options, **arrays)["output"]
    network, sizes_of = load(first)
    on_host = jax.device_get(network)  # from a device, each shape's slices would compile
    ours = eqx.filter_jit(eqx.filter_vmap(type(network).__call__, in_axes=(None, 0, 0, 0)))(
        network, arrays["x"], arrays["t"] - name.startswith("sd3"), text
    )
    assert np.linalg.norm(np.asarray(ours) - theirs) / np.linalg.norm(theirs) < 1e-5

    save(second, on_host, sizes_of)
    before, after = open_weights(first, DIFFUSERS), open_weights(second, DIFFUSERS)
    assert set(before) == set(after)
    if POSITIONS in before:  # which follow from the sizes
        np.testing.assert_allclose(after[POSITIONS], before[POSITIONS], atol=1e-5)
        save(tmp_path / "half", on_host, sizes_of, dtype="float16")
        half = open_weights(tmp_path / "half", DIFFUSERS)
        assert {tensor.dtype for tensor in half.values()} == {np.dtype("float16")}
        stored, _ = load(tmp_path / "half", dtype="stored")
        save(tmp_path / "again", jax.device_get(stored), sizes_of)
        again = open_weights(tmp_path / "again", DIFFUSERS)
        assert all(half[name].tobytes() == again[name].tobytes() for name in half)
    assert all(before[k].tobytes() == after[k].tobytes() for k in set(before) - {POSITIONS})
    mapped, _ = load(first, dtype="mapped")
    assert any(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(mapped))
    assert trees_equal(mapped, network)
    save(tmp_path / "mapped", mapped, sizes_of)
    for file in second.iterdir():
        assert (tmp_path / "mapped" / file.name).read_bytes() == file.read_bytes()
    again = peer("pretrained", {"class": kind, "load": str(second)}, **arrays)["output"]
    assert np.linalg.norm(again - theirs) / np.linalg.norm(theirs) < 1e-6
    ours, theirs = (json.loads((f / "config.json").read_text()) for f in (second, first))
    assert all(theirs[key] in (value, None) for key, value in ours.items() if key in theirs)


def configured(folder, name, **changes):
    kind, config = CASES[name]
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"_class_name": kind} | config | changes))
    return folder


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("sd3", {"qk_norm": "layer_norm"}, "qk_norm is 'layer_norm', and only None and 'rms_norm'"),
        ("sd3", {"dual_attention_layers": [1]}, "only the first layers, without the last"),
        ("sd3", {"dual_attention_layers": [0, 1, 2]}, "only the first layers, without the last"),
        ("sd3", {"caption_projection_dim": 7}, "caption_projection_dim is 7"),
        ("sd3", {"pos_embed_max_size": None}, "pos_embed_max_size is None"),
        (
            "sd3",
            {"_class_name": "FluxTransformer2DModel"},
            "_class_name is 'FluxTransformer2DModel",
        ),
        ("pixart", {"_class_name": "HunyuanDiT2DModel"}, "HunyuanDiT2DModel', and only DiTTrans"),
        (
            "pixart",
            {"sample_size": 128, "attention_head_dim": 10, "cross_attention_dim": 20},
            "3 must divide the width .*, and that is 20",
        ),
        ("pixart", {"use_additional_conditions": "yes"}, "use_additional_conditions is 'yes'"),
        ("pixart", {"_class_name": "Transformer2DModel"}, "_class_name is 'Transformer2DModel'"),
        ("pixart", {"cross_attention_dim": 7}, "cross_attention_dim is 7, and only 24"),
        ("pixart", {"caption_channels": None}, "caption_channels is None"),
        ("dit", {"norm_type": "ada_norm"}, "norm_type is 'ada_norm'"),
        ("dit", {"activation_fn": "geglu"}, "activation_fn is 'geglu'"),
    ],
)
def test_other_transformers_are_refused_by_name(tmp_path, name, changes, message):
    load = load_mmdit if name == "sd3" else load_dit
    with pytest.raises(ValueError, match=message):
        load(configured(tmp_path / name, name, **changes))


@pytest.mark.parametrize(
    ("config", "save"),
    [
        (MMDiTConfig(24, 2, 2), save_mmdit),
        (DiTConfig(24, 2, 2), save_mmdit),
        (DiTConfig(24, 2, 2), save_dit),
        (MMDiTConfig(24, 2, 2), save_dit),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_no_public_class_holds_is_refused(tmp_path, config, save):
    network = eqx.filter_eval_shape(config.build, key=jax.random.key(0))
    with pytest.raises(ValueError, match="this library's own layout only"):
        save(tmp_path / "out", network, config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "norm"), [("pixart", "ada_norm_single"), ("dit", "ada_norm_zero")]
)
def test_the_older_name_of_both_classes_is_read(name, norm):
    """Published files say `Transformer2DModel`; the kind of norm tells which it is."""
    kind, config = CASES[name]
    older = from_dit(config | {"_class_name": "Transformer2DModel", "norm_type": norm})
    assert older == from_dit(config | {"_class_name": kind})
    assert to_dit(older)["_class_name"] == kind


@pytest.mark.parametrize("changes", [{"use_additional_conditions": True}, {"sample_size": 128}])
def test_a_pixart_that_is_told_the_resolution_has_a_wrap(changes):
    fields = {"_class_name": "PixArtTransformer2DModel"} | PIXART | changes
    network = from_dit(fields)
    plain = from_dit(fields | {"use_additional_conditions": False})
    assert network == ResolutionConditioningConfig(plain)
    saved = to_dit(network)
    assert saved["use_additional_conditions"] is True and from_dit(saved) == network
    with pytest.raises(ValueError, match="this library's own layout only"):
        to_dit(ResolutionConditioningConfig(plain, width=128))


def test_other_positions_and_copies_are_refused(tmp_path):
    """Tables that are not what the sizes say, which would be lost."""
    for name, load, save in (("sd3", load_mmdit, save_mmdit), ("dit", load_dit, save_dit)):
        parse = from_sd3 if name == "sd3" else from_dit
        folder = configured(tmp_path / name, name)
        config = parse(json.loads((folder / "config.json").read_text()))
        save(folder, config.build(key=jax.random.key(0)), config)
        assert load(folder)[1] == config
        file = folder / "diffusion_pytorch_model.safetensors"
        tensors = {key: np.array(value) for key, value in open_weights(folder, DIFFUSERS).items()}
        changed = POSITIONS if name == "sd3" else next(k for k in tensors if ".1.norm1.emb." in k)
        tensors[changed] = tensors[changed] + 1
        save_safetensors(file, tensors)
        with pytest.raises(ValueError, match=r"holds other positions|differs from"):
            load(folder)
