"""A guidance-conditioned network, and the denoiser that stands in for `Guided`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, together
from small_models import moved_weights

from equildm import TextEmbedding
from equildm.denoise import (
    DiTConfig,
    EmbeddedGuidance,
    guidance_sinusoid,
    GuidanceConditioned,
    GuidanceEmbeddingConfig,
    Preconditioned,
    preset,
)
from equildm.nn import shapes_of
from equildm.noise import Epsilon, ScaledLinear

CONFIG = preset(16, context_width=8, groups=4, multipliers=(1,), depths=(1,),
                transformer_depths=(1,), heads=2)  # fmt: skip
TEXT, NULL = (
    TextEmbedding(*jax.device_put((np.full((3, 8), value, np.float32), np.array(shown))))
    for value, shown in ((1, [True, True, False]), (0, [True, False, False]))
)
X = jax.device_put(np.random.default_rng(1).standard_normal((4, 4, 4), np.float32))


@pytest.fixture(scope="module")
def teacher():
    return CONFIG.build(key=jax.random.key(0))


def random_projection(network):
    shape = network.projection.weight.shape
    weight = np.random.default_rng(2).standard_normal(shape, np.float32)
    return eqx.tree_at(lambda n: n.projection.weight, network, weight)


def test_sinusoid_is_the_published_one():
    w, dim = 7.5, 10
    # latent-consistency-model's `guidance_scale_embedding`, in float64.
    frequencies = np.exp(np.arange(dim // 2) * -(np.log(1e4) / (dim // 2 - 1)))
    angles = (w - 1) * 1000.0 * frequencies
    expected = np.concatenate([np.sin(angles), np.cos(angles)])
    np.testing.assert_allclose(called(guidance_sinusoid, np.float32(w), dim), expected, atol=2e-3)
    with pytest.raises(ValueError, match="even and at least 4, received 7"):
        guidance_sinusoid(jnp.float32(1), 7)


def test_begins_as_its_teacher_and_learns_the_scale(teacher):
    student = GuidanceConditioned(teacher, 16)
    t = jnp.float32(300)

    def outputs(student, w):
        both = (student, X, t, (TEXT, jnp.float32(w))), (teacher, X, t, TEXT)
        return map(np.asarray, together(*both))

    np.testing.assert_array_equal(*outputs(student, 7.0))
    student = random_projection(student)
    (a, _), (b, _) = outputs(student, 1.5), outputs(student, 7.0)
    assert np.max(np.abs(a - b)) > 1e-3


def test_is_built_from_a_config():
    shapes = shapes_of(GuidanceEmbeddingConfig(preset("39M"), 256).build)
    assert shapes.projection.weight.shape == (256, 64) and shapes.projection.bias is None


def test_stands_in_for_guidance():
    """Of a transformer, which compiles sooner than a UNet."""
    network = DiTConfig(16, 1, 2, context_width=8).build(key=jax.random.key(0))
    network = moved_weights(GuidanceConditioned(network, 16), 0.1, np.random.default_rng(0))
    denoiser = Preconditioned(network, ScaledLinear(), Epsilon())
    s = jnp.float32(2.0)

    @jax.jit
    @jax.vmap
    def each(weight):
        return EmbeddedGuidance(denoiser, weight)(X, s, (TEXT, NULL))

    of_number = EmbeddedGuidance(denoiser, 3.0), X, s, (TEXT, NULL)
    guided, scaled = together(of_number, (denoiser, X, s, (TEXT, jnp.float32(3.0))))
    np.testing.assert_array_equal(guided, scaled)
    both = np.asarray(each(np.float32([3.0, 5.0])))
    np.testing.assert_allclose(both[0], guided, rtol=2e-4, atol=2e-4)
    assert np.max(np.abs(both[0] - both[1])) > 1e-3
