"""Shapes without weights are those of the weights, for every network."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest

from equildm.denoise import (
    ControlNetConfig,
    DiTConfig,
    GuidanceEmbeddingConfig,
    MMDiTConfig,
    preset,
)
from equildm.features import Classifier, InceptionV3, SqueezeNet, VGG16
from equildm.latents import VAEConfig
from equildm.nn import Conv, shapes_of
from equildm.text import BertConfig, CLIPConfig, T5Config

DIT = DiTConfig(16, 2, 2, context_width=5)
TWO_LEVELS = preset("tiny", multipliers=(1, 2), depths=(1, 1), transformer_depths=(1, 0))
BUILDS = {
    "unet": preset("tiny").build,
    "dit": DIT.build,
    "unrolled": DiTConfig(16, 2, 2, context_width=5, scan=False).build,
    "mmdit": MMDiTConfig(16, 2, 2, context_width=5, pooled_width=7, qk_norm=True).build,
    "control of a unet": ControlNetConfig(TWO_LEVELS, hint_channels=(4, 6)).build,
    "control of a transformer": ControlNetConfig(DIT, hint_channels=(4, 6)).build,
    "guidance": GuidanceEmbeddingConfig(TWO_LEVELS).build,
    "vae": VAEConfig(16, groups=8).build,
    "clip": CLIPConfig(vocabulary=258, width=16, depth=3, heads=2, longest=12).build,
    "bert": BertConfig(vocabulary=258, width=16, depth=2, heads=2, hidden=24).build,
    "t5": T5Config(vocabulary=258, width=16, depth=2, heads=2, head_width=4, hidden=24).build,
    "vgg": VGG16,
    "inception": InceptionV3,
    "squeezenet": SqueezeNet,
    "classifier": partial(Classifier, "small", ("cat", "dog")),
}


@pytest.mark.parametrize("name", BUILDS)
def test_they_are_those_of_a_trace(name):
    shapes, traced = (f(BUILDS[name]) for f in (shapes_of, traced_shapes))
    assert jax.tree.structure(shapes) == jax.tree.structure(traced)
    assert jax.tree.leaves(shapes) == jax.tree.leaves(traced) != []


def traced_shapes(build):
    return eqx.filter_eval_shape(build, key=jax.random.key(0))


def test_they_are_those_of_the_weights():
    key = jax.random.key(1)
    for name in ("unet", "dit", "vae"):
        shapes, built = shapes_of(BUILDS[name]), BUILDS[name](key=key)
        assert jax.tree.structure(shapes) == jax.tree.structure(built)
        pairs = zip(jax.tree.leaves(shapes), jax.tree.leaves(built), strict=True)
        assert all((a.shape, a.dtype) == (b.shape, b.dtype) for a, b in pairs)


def test_weights_are_drawn_again_afterwards_and_after_an_error():
    build = partial(Conv, 3, 4)
    before = build(key=jax.random.key(0)).weight
    shapes_of(build)
    with pytest.raises(ZeroDivisionError):
        shapes_of(lambda key: 1 // 0)
    np.testing.assert_array_equal(build(key=jax.random.key(0)).weight, before)
    traced = eqx.filter_jit(build)(key=jax.random.key(0)).weight
    assert np.std(traced) > 0
