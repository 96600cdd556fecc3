"""The transformers of diffusers: the same outputs, the same bytes, and what is refused."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm import TextEmbedding
from equildm.interop import load_dit, load_mmdit, open_weights, save_dit, save_mmdit
from equildm.interop.mmdit import POSITIONS
from equildm.interop.shards import DIFFUSERS

SIZES = {"num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 3, "in_channels": 4}
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
        pooled = jax.nn.one_hot(labels, classes + 1)
        text = TextEmbedding(jnp.zeros((batch, 1, 1)), jnp.ones((batch, 1), bool), pooled)
        return arrays | {"class_labels": labels}, text
    tokens = draw(11, config.get("joint_attention_dim", config.get("caption_channels")))
    mask = np.ones((batch, 11), bool)
    arrays["encoder_hidden_states"] = tokens
    if kind == "SD3Transformer2DModel":
        pooled = arrays["pooled_projections"] = draw(config["pooled_projection_dim"])
        return arrays, TextEmbedding(jnp.asarray(tokens), jnp.asarray(mask), jnp.asarray(pooled))
    mask[1, 6:] = False
    arrays["encoder_attention_mask"] = mask.astype(np.float32)
    return arrays, TextEmbedding(jnp.asarray(tokens), jnp.asarray(mask))


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        *((name, (16, 16)) for name in CASES),
        *((name, (8, 20)) for name in CASES if name != "dit"),
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
    ours = eqx.filter_jit(eqx.filter_vmap(type(network).__call__, in_axes=(None, 0, 0, 0)))(
        network, jnp.asarray(arrays["x"]), jnp.asarray(arrays["t"]), text
    )
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 1e-5

    save(second, network, sizes_of)
    before, after = open_weights(first, DIFFUSERS), open_weights(second, DIFFUSERS)
    assert set(before) == set(after)
    if POSITIONS in before:  # which follow from the sizes
        np.testing.assert_allclose(after[POSITIONS], before[POSITIONS], atol=1e-5)
    assert all(before[k].tobytes() == after[k].tobytes() for k in set(before) - {POSITIONS})
    again = peer("pretrained", {"class": kind, "load": str(second)}, **arrays)["output"]
    assert np.linalg.norm(again - theirs) / np.linalg.norm(theirs) < 1e-6
    ours, theirs = (json.loads((f / "config.json").read_text()) for f in (second, first))
    assert all(theirs[key] in (value, None) for key, value in ours.items() if key in theirs)
