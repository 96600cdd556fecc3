"""A widened UNet begins as the one that it was."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm import TextEmbedding
from equildm.denoise import concatenated, PictureCondition, WidthScaledUNet


@pytest.fixture(scope="module")
def unet():
    sizes = {"multipliers": (1,), "depths": (1,), "transformer_depths": (1,), "heads": 2}
    return WidthScaledUNet(
        8, in_channels=3, out_channels=3, context_width=5, groups=4, **sizes, key=jax.random.key(0)
    )


def drawn(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).standard_normal(shape), jnp.float32)


@eqx.filter_jit
def called(network, x, condition):
    return network(x, jnp.asarray(300.0), condition)


TEXT = TextEmbedding(drawn(4, 5), jnp.ones(4, bool))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_step_0_is_the_pretrained_model(unet, dtype):
    x, picture = drawn(4, 6, 3).astype(dtype), 3 + drawn(4, 6, 2)
    wide = concatenated(unet, 2)
    assert wide.network.conv_in.weight.shape == (3, 3, 5, 8)
    condition = PictureCondition(TEXT, picture, jnp.asarray(77.0))
    out = called(wide, x, condition)
    assert out.dtype == x.dtype
    tolerance = {"float32": 1e-6, "bfloat16": 2e-2}[dtype]
    np.testing.assert_allclose(
        np.asarray(out, np.float32),
        np.asarray(called(unet, x, TEXT), np.float32),
        atol=tolerance,
    )


def test_picture_and_level_are_learned(unet):
    x, picture = drawn(4, 6, 3), drawn(4, 6, 2)
    wide = concatenated(unet, 2)

    def loss(wide, picture, level):
        return jnp.sum(called(wide, x, PictureCondition(TEXT, picture, level)) ** 2)

    grads = eqx.filter_jit(eqx.filter_grad(loss))(wide, picture, jnp.asarray(77.0))
    assert float(jnp.abs(grads.network.conv_in.weight[:, :, 3:]).max()) > 1e-3
    assert float(jnp.abs(grads.projection.weight).max()) > 1e-3
    moved = jax.tree.map(lambda w, g: w - 1e-2 * g, wide, grads)
    values = [
        loss(moved, p, jnp.asarray(level))
        for p, level in ((picture, 77.0), (picture + 1, 77.0), (picture, 500.0))
    ]
    assert len({round(float(value), 4) for value in values}) == 3


def test_what_does_not_fit_is_refused(unet):
    wide = concatenated(unet, 2)
    with pytest.raises(ValueError, match="Only a WidthScaledUNet"):
        concatenated(wide, 2)
    with pytest.raises(ValueError, match="as high and wide"):
        wide(
            drawn(4, 6, 3), jnp.asarray(0.0), PictureCondition(TEXT, drawn(2, 6, 2), jnp.zeros(()))
        )
