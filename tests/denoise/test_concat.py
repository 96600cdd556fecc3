"""A widened UNet begins as the one that it was."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, others_slow, together

from equildm import TextEmbedding
from equildm.denoise import (
    AbstractDenoiser,
    ConcatConfig,
    Concatenated,
    Guided,
    ImageCondition,
    Preconditioned,
    preset,
    widen_input,
    WidthScaledUNet,
)
from equildm.noise import Epsilon, ScaledLinear


@pytest.fixture(scope="module")
def unet():
    sizes = {"multipliers": (1,), "depths": (1,), "transformer_depths": (1,), "heads": 2}
    return WidthScaledUNet(
        8, in_channels=3, out_channels=3, context_width=5, groups=4, **sizes, key=jax.random.key(0)
    )


def drawn(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


T = jax.device_put(np.float32(300))
TEXT = TextEmbedding(*jax.device_put((drawn(4, 5), np.ones(4, bool))))


@pytest.mark.parametrize("dtype", others_slow(["float32", "bfloat16"], "bfloat16"))
def test_step_0_is_the_pretrained_model(unet, dtype):
    x, image = drawn(4, 6, 3).astype(dtype), jax.device_put(3 + drawn(4, 6, 2))
    wide = widen_input(unet, 2)
    assert wide.network.conv_in.weight.shape == (3, 3, 5, 8)
    condition = ImageCondition(TEXT, image, jnp.asarray(77.0))
    out, plain = together((wide, x, T, condition), (unet, x, T, TEXT))
    assert out.dtype == x.dtype
    tolerance = {"float32": 1e-6, "bfloat16": 2e-2}[dtype]
    np.testing.assert_allclose(
        np.asarray(out, np.float32), np.asarray(plain, np.float32), atol=tolerance
    )


@pytest.mark.slow
def test_image_and_level_are_learned(unet):
    x, image = jax.device_put((drawn(4, 6, 3), drawn(4, 6, 2)))
    wide = widen_input(unet, 2)

    def loss(wide, image, level):
        return jnp.sum(called(wide, x, T, ImageCondition(TEXT, image, level)) ** 2)

    grads = eqx.filter_jit(eqx.filter_grad(loss))(wide, image, jnp.asarray(77.0))
    assert float(jnp.abs(grads.network.conv_in.weight[:, :, 3:]).max()) > 1e-3
    assert float(jnp.abs(grads.projection.weight).max()) > 1e-3
    moved = jax.tree.map(lambda w, g: w - 1e-2 * g, wide, grads)
    values = [
        loss(moved, p, jnp.asarray(level))
        for p, level in ((image, 77.0), (image + 1, 77.0), (image, 500.0))
    ]
    assert len({round(float(value), 4) for value in values}) == 3


def test_what_does_not_fit_is_refused(unet):
    wide = widen_input(unet, 2)
    with pytest.raises(ValueError, match=r"input that is widened .* received a Concatenated"):
        widen_input(wide, 2)
    with pytest.raises(ValueError, match="as high and wide"):
        image = jax.device_put(drawn(2, 6, 2))
        eqx.filter_eval_shape(wide, drawn(4, 6, 3), T, ImageCondition(TEXT, image, T))


def test_a_config_builds_it_and_guides_it_away_from_the_caption_alone(unet):
    sizes = {"multipliers": (1,), "depths": (1,), "transformer_depths": (1,), "heads": 2}
    config = ConcatConfig(
        preset(8, in_channels=3, out_channels=3, context_width=5, groups=4, **sizes), channels=2
    )
    assert config.condition_type is ImageCondition
    shapes = eqx.filter_eval_shape(config.build, key=jax.random.key(0))
    assert isinstance(shapes, Concatenated) and shapes.network.conv_in.weight.shape[2] == 5

    wide = widen_input(unet, 2)
    weight = jax.device_put(np.asarray(wide.network.conv_in.weight) + np.float32(0.1))
    wide = eqx.tree_at(lambda n: n.network.conv_in.weight, wide, weight)
    denoiser = Preconditioned(wide, ScaledLinear(), Epsilon())
    guided = config.guided(denoiser, 3.0)
    assert isinstance(guided, AbstractDenoiser)
    null = TextEmbedding(jax.device_put(drawn(4, 5) - 1), TEXT.mask)
    condition = ImageCondition(TEXT, jax.device_put(drawn(4, 6, 2)), jnp.asarray(77.0))
    other = ImageCondition(null, condition.image, condition.level)
    y, s = drawn(4, 6, 3), np.float32(2)
    both, of_text, of_image = together(
        (Guided(denoiser, 3.0), y, s, (condition, other)),
        (guided, y, s, (condition, null)),
        (guided, y, s, (condition, other)),
    )
    np.testing.assert_array_equal(of_text, both)
    np.testing.assert_array_equal(of_image, both)
