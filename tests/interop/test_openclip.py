"""OpenCLIP's layout of a text tower: its fused projections, and its outputs by torch."""

from functools import partial

import equinox as eqx
import jax
import numpy as np

from equildm.interop import clip_table, openclip_table, read_weights, write_weights
from equildm.text import CLIPConfig


def test_openclip_holds_the_same():
    """Its fused projections, put together here by hand from the separate ones."""
    config = CLIPConfig(vocabulary=50, width=16, depth=2, heads=2, longest=9)
    tower = config.build(key=jax.random.key(0))
    separate, fused = (
        dict(write_weights(tower, table(2))) for table in (clip_table, openclip_table)
    )
    for i in range(2):
        for kind in ("weight", "bias"):
            theirs = f"text_model.encoder.layers.{i}.self_attn"
            parts = [separate[f"{theirs}.{part}_proj.{kind}"] for part in "qkv"]
            name = f"transformer.resblocks.{i}.attn.in_proj_{kind}"
            np.testing.assert_array_equal(fused[name], np.concatenate(parts))
        np.testing.assert_array_equal(
            fused[f"transformer.resblocks.{i}.mlp.c_fc.weight"],
            separate[f"text_model.encoder.layers.{i}.mlp.fc1.weight"],
        )
    assert fused["positional_embedding"].shape == (9, 16)
    assert {name for name in fused if "resblocks" not in name} == {
        "positional_embedding",
        "token_embedding.weight",
        "ln_final.weight",
        "ln_final.bias",
    }
    again = read_weights(config.build(key=jax.random.key(1)), openclip_table(2), fused)
    for ours, theirs in zip(jax.tree.leaves(again), jax.tree.leaves(tower), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_openclip_by_torch(peer):
    """Its blocks are torch's own attention with fused projections."""
    config = CLIPConfig(
        vocabulary=50, width=32, depth=3, heads=4, longest=11, activation="gelu", eps=1e-5
    )
    shapes = dict(write_weights(config.build(key=jax.random.key(0)), openclip_table(3)))
    rng = np.random.default_rng(0)
    tensors = {
        name: rng.normal(0, 0.3, array.shape).astype(np.float32) for name, array in shapes.items()
    }
    ids = rng.integers(0, 50, (3, 11))
    theirs = peer("openclip", {"depth": 3, "heads": 4}, ids=ids, **tensors)
    template = eqx.filter_eval_shape(config.build, key=jax.random.key(0))
    tower = read_weights(template, openclip_table(3), tensors)
    both = lambda tower, ids: [jax.vmap(partial(tower, skip=skip))(ids) for skip in (0, 1)]
    for ours, name in zip(eqx.filter_jit(both)(tower, ids), ["last", "penultimate"]):
        error = np.abs(np.asarray(ours) - theirs[name]).max() / np.abs(theirs[name]).max()
        print(f"OpenCLIP, {name} layer: {error:.1e}")
        assert error < 1e-5
