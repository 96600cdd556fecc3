"""The UNet against diffusers', weight by weight."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusers_names import weights
from helpers import run_python
from small_models import moved_weights

from equildm import TextEmbedding
from equildm.denoise import preset

WIDTH, CONTEXT, TOKENS = 32, 24, 11


def random_network(**sizes):
    """Every weight moved off its initial value, so that scales and biases are seen as well."""
    network = preset(WIDTH, context_width=CONTEXT, **sizes).build(key=jax.random.key(0))
    return moved_weights(network, 0.05, np.random.default_rng(0))


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

    config = config | {"context_width": CONTEXT, "groups": preset(WIDTH).groups}
    theirs = peer("unet", config, x=x, t=t, text=text, mask=mask, **weights(network))

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


def test_a_batch_is_told_to_be_mapped():
    """In a process without checked annotations, as users have it."""
    run_python(
        """
import jax.numpy as jnp, equildm as eqd, equinox as eqx, jax
network = eqx.filter_eval_shape(lambda: eqd.preset("tiny").build(key=jax.random.key(0)))
text = eqd.TextEmbedding(jnp.zeros((2, 4, 1024)), jnp.ones((2, 4), bool))
vae, x = eqd.load_vae(), jnp.zeros((2, 32, 32, 3))
for call in (lambda: eqx.filter_eval_shape(network, jnp.zeros((2, 8, 8, 4)), jnp.zeros(2), text),
             lambda: vae.encode(x), lambda: vae.decode(x)):
    try:
        call()
    except ValueError as error:
        assert "takes one" in str(error) and "jax.vmap" in str(error), error
    else:
        raise AssertionError("not refused")
"""
    )
