"""The family: the paper's counts, the same structure at every width, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import trees_equal
from paper_sizes import PARAMETERS

from equildm import TextEmbedding
from equildm.denoise import preset, SIZES, UNetConfig, WidthScaledUNet
from equildm.nn import shapes_of
from equildm.runtime import count_parameters


def shapes(config):
    return shapes_of(config.build)


@pytest.mark.parametrize("size", SIZES)
def test_counts_of_the_paper(size):
    assert round(count_parameters(shapes(preset(size))) / 1e6, 2) == PARAMETERS[size]


def test_a_preset_by_width_is_the_one_by_name():
    assert preset(64) == preset("39M") == preset("64")
    assert preset(320, context_width=768).context_width == 768
    # Stable Diffusion 1's own 859.5M, by its context width.
    assert round(count_parameters(shapes(preset(320, context_width=768))) / 1e6, 1) == 859.5


def test_quick_has_fewer_levels():
    quick, tiny = (preset(name, in_channels=8, context_width=384) for name in ("quick", "tiny"))
    assert quick.multiple == 4 and tiny.multiple == 8
    assert quick.groups == tiny.groups == 8 and not quick.has_paper_size
    assert preset("quick", width=16).width == 16
    assert count_parameters(shapes(quick)) < 0.65 * count_parameters(shapes(tiny))


def test_widths_differ_in_sizes_only():
    small, large = shapes(preset("39M")), shapes(preset("5B"))
    names = [
        [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
        for tree in (small, large)
    ]
    assert names[0] == names[1]


def test_fresh_weights_follow_from_the_key():
    sizes = {"multipliers": (1, 2), "depths": (1, 1), "transformer_depths": (0, 1)}
    config = preset("tiny", context_width=8, **sizes)
    a, b = config.build(key=jax.random.key(1)), config.build(key=jax.random.key(1))
    c = config.build(key=jax.random.key(2))
    assert trees_equal(a, b)
    assert not trees_equal(a, c)
    weight = np.asarray(a.conv_in.weight)
    assert np.abs(weight).max() <= 1 / 6 and np.std(weight) == pytest.approx(
        1 / 6 / 3**0.5, rel=0.1
    )


@pytest.mark.parametrize(
    "width, groups", [(8, 8), (16, 8), (32, 8), (40, 8), (64, 32), (72, 8), (320, 32)]
)
def test_norms_have_groups_of_several_channels(width, groups):
    assert preset(width).groups == groups
    shapes(preset(width, context_width=8, depths=(1, 1, 1, 1)))


@pytest.mark.parametrize("wrong", ["40M", 0, 17, 12, -32])
def test_unknown_presets_are_refused(wrong):
    with pytest.raises(ValueError, match="preset"):
        preset(wrong)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="groups=32"):
        WidthScaledUNet(48, key=jax.random.key(0))
    with pytest.raises(ValueError, match="one entry for each level"):
        WidthScaledUNet(32, depths=(1, 2), key=jax.random.key(0))


@pytest.mark.parametrize(
    "latent, width, message",
    [
        ((16, 16, 3), 8, "4 channels"),
        ((12, 16, 4), 8, "divide by 8"),
        ((16, 16, 4), 9, "width 8"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(latent, width, message):
    network = shapes(UNetConfig(16, context_width=8, groups=16))
    text = TextEmbedding(jnp.zeros((3, width)), jnp.ones(3, bool))
    with pytest.raises(ValueError, match=message):
        eqx.filter_eval_shape(network, jnp.zeros(latent), jnp.zeros(()), text)


def test_the_dtype_of_the_input_is_that_of_the_output():
    network = shapes(UNetConfig(16, context_width=8, groups=16, depths=(1, 1, 1, 1)))
    text = TextEmbedding(jnp.zeros((3, 8)), jnp.ones(3, bool))
    for dtype in (jnp.float32, jnp.bfloat16):
        x = jnp.zeros((16, 24, 4), dtype)
        out = eqx.filter_eval_shape(network, x, jnp.zeros(()), text)
        assert out.dtype == dtype and out.shape == x.shape
