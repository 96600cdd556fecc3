"""The UNet against diffusers', weight by weight."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm import TextEmbedding
from equildm.denoise import preset

WIDTH, CONTEXT, TOKENS = 32, 24, 11

NAMES = [
    (r"^time\.", "time_embedding."),
    (r"^norm_out", "conv_norm_out"),
    (r"(down|up)\.(\d)\.stages\.(\d)\.block", r"\1_blocks.\2.resnets.\3"),
    (r"(down|up)\.(\d)\.stages\.(\d)\.transformer", r"\1_blocks.\2.attentions.\3"),
    (r"(down|up)\.(\d)\.resample", r"\1_blocks.\2.\1samplers.0"),
    (r"middle\.first\.block", "mid_block.resnets.0"),
    (r"middle\.second\.block", "mid_block.resnets.1"),
    (r"middle\.first\.transformer", "mid_block.attentions.0"),
    (r"time_embedding\.hidden", "time_embedding.linear_1"),
    (r"time_embedding\.out", "time_embedding.linear_2"),
    (r"\.time\.", ".time_emb_proj."),
    (r"\.skip\.", ".conv_shortcut."),
    (r"\.blocks\.", ".transformer_blocks."),
    (r"self_attention", "attn1"),
    (r"cross_attention", "attn2"),
    (r"to_query", "to_q"),
    (r"to_key", "to_k"),
    (r"to_value", "to_v"),
    (r"(attn\d)\.to_out", r"\1.to_out.0"),
    (r"feed_forward\.to_hidden", "ff.net.0.proj"),
    (r"feed_forward\.to_out", "ff.net.2"),
]


def their_name(path):
    name = re.sub(r"\[(\d+)\]", r".\1", jax.tree_util.keystr(path)).lstrip(".")
    for ours, theirs in NAMES:
        name = re.sub(ours, theirs, name)
    return name


def their_layout(leaf):
    """`(kh, kw, in, out)` becomes `(out, in, kh, kw)` and `(in, out)` becomes `(out, in)`."""
    leaf = np.asarray(leaf)
    return leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf.T


def random_network(**sizes):
    """Every weight moved off its initial value, so that scales and biases are seen as well."""
    network = preset(WIDTH, context_width=CONTEXT, **sizes).build(key=jax.random.key(0))
    random = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: x + 0.05 * random.standard_normal(x.shape).astype(np.float32), network
    )


SMALL = {"multipliers": (1, 2), "depths": (1, 1), "transformer_depths": (1, 0)}
SIZES = {
    "small": (SMALL, {"channels": (WIDTH, 2 * WIDTH), "layers": 1}),
    "whole": ({}, {"channels": [WIDTH * m for m in (1, 2, 4, 4)], "layers": 2}),
}


@pytest.mark.parametrize("size", ["small", pytest.param("whole", marks=pytest.mark.slow)])
def test_is_the_unet_of_diffusers(size, peer):
    """On a latent that is not square, at two times, with one caption shorter than the other."""
    sizes, config = SIZES[size]
    network = random_network(**sizes)
    random = np.random.default_rng(1)
    x = random.standard_normal((2, 8, 24, 4), np.float32)
    t = np.asarray([7.0, 812.0], np.float32)
    text = random.standard_normal((2, TOKENS, CONTEXT), np.float32)
    mask = np.arange(TOKENS) < np.asarray([[TOKENS], [4]])

    leaves = jax.tree_util.tree_leaves_with_path(network)
    weights = {f"weight_{their_name(path)}": their_layout(leaf) for path, leaf in leaves}
    config = config | {"context_width": CONTEXT, "groups": preset(WIDTH).groups}
    theirs = peer("unet", config, x=x, t=t, text=text, mask=mask, **weights)

    def loss(x):
        out = jax.vmap(network)(x, t, TextEmbedding(jnp.asarray(text), jnp.asarray(mask)))
        return jnp.sum(out**2), out

    gradient, output = jax.jit(jax.grad(loss, has_aux=True))(jnp.asarray(x))
    for name, ours in (("output", output), ("gradient", gradient)):
        error = np.linalg.norm(ours - theirs[name]) / np.linalg.norm(theirs[name])
        print(f"{name}: relative error {error:.1e}")
        assert error < 1e-4


def test_bfloat16_in_bfloat16_out():
    network = eqx.filter_eval_shape(
        preset(WIDTH, context_width=CONTEXT, **SMALL).build, key=jax.random.key(0)
    )
    text = TextEmbedding(jnp.zeros((TOKENS, CONTEXT)), jnp.ones(TOKENS, bool))
    latent = jnp.zeros((8, 8, 4), jnp.bfloat16)
    out = eqx.filter_eval_shape(network, latent, jnp.zeros(()), text)
    assert out.dtype == jnp.bfloat16 and out.shape == (8, 8, 4)
