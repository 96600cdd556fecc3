"""The parts of transformers: each against its formula, and stacks against single blocks."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, trees_equal

from equildm.nn import (
    attend,
    BlockStack,
    CrossAttn,
    JointAttn,
    LayerNorm,
    Linear,
    MLP,
    modulate,
    Modulation,
    ModulationTable,
    PatchEmbed,
    patchify,
    RMSNorm,
    RotaryPositions,
    SincosPositions,
    sinusoid,
    SwiGLU,
    unpatchify,
)
from equildm.nn.positions import rotated

KEY = jax.random.key(0)


def normal(*shape):
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def exact(x):
    return np.asarray(x, np.float64)


def mapped(x, layer):
    y = exact(x) @ exact(layer.weight)
    return y if layer.bias is None else y + exact(layer.bias)


def moved(module):
    """Weights that are not zero."""
    arrays, static = eqx.partition(module, eqx.is_array)
    return eqx.combine(jax.tree.map(_moved, arrays), static)


def _moved(x):
    return jax.device_put(np.asarray(x) + np.float32(0.3) * normal(*x.shape))


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_patches_are_squares_row_by_row(patch):
    x = normal(2 * patch, 3 * patch, 5)
    tokens = np.asarray(called(patchify, x, patch))
    assert tokens.shape == (6, 5 * patch**2)
    square = x[patch : 2 * patch, :patch]  # second row, first column
    np.testing.assert_array_equal(tokens[3], square.reshape(-1))
    np.testing.assert_array_equal(called(unpatchify, tokens, *x.shape[:2], patch), x)
    with pytest.raises(ValueError, match=r"divide height and width; received 7x"):
        called(patchify, normal(7, 6, 1), 2)


def test_a_widened_embedding_ignores_the_new_channels():
    embed = PatchEmbed(3, 8, 2, key=KEY)
    wide = embed.widened(2)
    x, more = normal(4, 6, 3), normal(4, 6, 2)
    assert (embed.in_channels, wide.in_channels) == (3, 5)
    both = np.concatenate([x, more], -1)
    np.testing.assert_allclose(called(wide, both), called(embed, x), atol=1e-6)


def test_norms_and_feed_forward():
    x = normal(7, 12)
    wide = exact(x)
    norm = moved(RMSNorm(12))
    expected = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * exact(norm.weight)
    np.testing.assert_allclose(called(norm, x), expected, rtol=1e-5)
    assert called(norm, x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    plain = LayerNorm(12, affine=False)
    assert jax.tree.leaves(plain) == []
    centred = wide - wide.mean(-1, keepdims=True)
    np.testing.assert_allclose(
        called(plain, x), centred / np.sqrt(wide.var(-1, keepdims=True) + 1e-5), atol=1e-5
    )

    mlp, swiglu = MLP(12, key=KEY), SwiGLU(12, key=KEY)
    hidden = mapped(x, mlp.to_hidden)
    gelu = 0.5 * hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    np.testing.assert_allclose(called(mlp, x), mapped(gelu, mlp.to_out), atol=1e-5)
    value, gate = np.split(mapped(x, swiglu.to_hidden), 2, axis=-1)
    np.testing.assert_allclose(
        called(swiglu, x), mapped(value * gate / (1 + np.exp(-gate)), swiglu.to_out), atol=1e-5
    )
    assert SwiGLU(384, key=KEY).to_out.weight.shape == (1024, 384)


def test_modulation_is_adaln_zero():
    condition = normal(6)
    layer = Modulation(6, 3, key=KEY)
    np.testing.assert_array_equal(called(layer, condition), np.zeros((3, 6)))
    layer = moved(layer)
    modulation = np.asarray(called(layer, condition))
    silu = exact(condition) / (1 + np.exp(-exact(condition)))
    expected = mapped(silu, layer.projection).reshape(3, 6)
    np.testing.assert_allclose(modulation, expected, rtol=1e-5)
    shift, scale, _ = expected
    np.testing.assert_allclose(
        called(modulate, normal(4, 6), *modulation[:2]),
        exact(normal(4, 6)) * (1 + scale) + shift,
        rtol=1e-4,
    )
    table = moved(ModulationTable(6, 3, key=KEY))
    vectors = called(table, condition)
    np.testing.assert_allclose(vectors, exact(table.table) + exact(condition), rtol=1e-5)
    np.testing.assert_allclose(
        called(table, modulation), exact(table.table) + expected, rtol=1e-4, atol=1e-6
    )


def test_sines_and_cosines_of_column_and_row():
    vectors = SincosPositions(8)(2, 3)
    x, y = 2, 1
    f = np.array([1.0, 0.01])
    expected = np.concatenate([np.sin(x * f), np.cos(x * f), np.sin(y * f), np.cos(y * f)])
    np.testing.assert_allclose(vectors[1 * 3 + 2], expected, atol=1e-6)
    stretched = SincosPositions(8, base=6, spacing=2.0)(2, 3)  # columns 0, 1, 2; rows 0, 1.5
    np.testing.assert_allclose(stretched[5, 4:6], np.sin(1.5 * f), atol=1e-6)
    cut = SincosPositions(8, largest=8)
    np.testing.assert_array_equal(cut(2, 4), SincosPositions(8)(8, 8).reshape(8, 8, 8)[3:5, 2:6].reshape(8, 8))  # fmt: skip  # noqa: E501
    with pytest.raises(ValueError, match="at most 8 patches"):
        cut(2, 10)
    with pytest.raises(ValueError, match="multiple of 4, received 6"):
        SincosPositions(6)


def test_rotary_scores_depend_on_distances_alone():
    query, key = normal(1, 2, 8), normal(1, 2, 8)

    def score(rows, columns, i, j):
        angles = RotaryPositions(8, 100.0)(rows, columns)
        copies = (np.tile(x, (rows * columns, 1, 1)) for x in (query, key))
        query_at, key_at = (np.asarray(called(rotated, x, angles)) for x in copies)
        return np.einsum("hw,hw->h", query_at[i], key_at[j])

    # One down and two to the right, from either corner of a 4x5 grid.
    np.testing.assert_allclose(score(4, 5, 0, 7), score(4, 5, 12, 19), rtol=1e-4)
    assert not np.allclose(score(4, 5, 0, 7), score(4, 5, 0, 11))
    np.testing.assert_allclose(
        np.linalg.norm(called(rotated, query, RotaryPositions(8)(1, 1) + 3)),
        np.linalg.norm(query),
        rtol=1e-5,
    )
    with pytest.raises(ValueError, match="width of a head is a multiple of 4"):
        RotaryPositions(6)


def test_attention_normalises_and_turns_queries_and_keys():
    x = normal(6, 16)
    attention = moved(CrossAttn(16, 16, 2, qk_norm=RMSNorm, key=KEY))
    angles = RotaryPositions(8)(2, 3)
    split = lambda y: y.reshape(6, 2, 8)

    @eqx.filter_jit
    def by_parts(attention, x):
        query = rotated(attention.norm_query(split(attention.to_query(x))), angles)
        key = rotated(attention.norm_key(split(attention.to_key(x))), angles)
        out = attend(query, key, split(attention.to_value(x))).reshape(6, 16)
        return attention.to_out(out)

    np.testing.assert_allclose(
        called(attention, x, x, rotation=angles), by_parts(attention, x), rtol=1e-5, atol=1e-5
    )
    plain = CrossAttn(16, 16, 2, key=KEY)
    assert plain.norm_query is None and len(jax.tree.leaves(plain)) == 5


def test_joint_attention_is_one_attention_over_both():
    image, text, mask = normal(5, 16), normal(3, 16), np.array([True, True, False])
    split = lambda y: y.reshape(len(y), 2, 8)

    @eqx.filter_jit
    def by_parts(layer, image, text, mask):
        norms = layer.norms
        query = [norms[0](split(layer.to_query(image))), norms[2](split(layer.to_query_text(text)))]
        key = [norms[1](split(layer.to_key(image))), norms[3](split(layer.to_key_text(text)))]
        value = [split(layer.to_value(image)), split(layer.to_value_text(text))]
        query, key, value = (jnp.concatenate(both) for both in (query, key, value))
        out = attend(query, key, value, jnp.concatenate([jnp.ones(5, bool), mask])).reshape(8, 16)
        return layer.to_out(out[:5]), layer.to_out_text(out[5:])

    layer = moved(JointAttn(16, 2, qk_norm=RMSNorm, key=KEY))
    image_out, text_out = called(layer, image, text, mask)
    expected = by_parts(layer, image, text, mask)
    np.testing.assert_allclose(image_out, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(text_out, expected[1], rtol=1e-5, atol=1e-5)
    text[2] += 1.0  # padding: nothing attends to it
    np.testing.assert_array_equal(called(layer, image, text, mask)[0], image_out)
    last = JointAttn(16, 2, updates_text=False, key=KEY)
    assert called(last, image, text, mask)[1] is None
    with pytest.raises(ValueError, match="heads=3 and channels=16"):
        JointAttn(16, 3, key=KEY)


def test_closed_frequencies_end_at_the_longest_period():
    t = jnp.float32(7.0)
    f = 1e4 ** (-np.arange(4) / 3)
    expected = np.concatenate([np.cos(7 * f), np.sin(7 * f)])
    np.testing.assert_allclose(called(sinusoid, t, 8, closed=True), expected, rtol=1e-5)


class Block(eqx.Module):
    linear: Linear

    def __init__(self, *, key):
        self.linear = Linear(6, 6, key=key)

    def __call__(self, x, shift, *each):
        return x + jnp.tanh(self.linear(x)) + shift + sum(each)


@pytest.mark.parametrize("scan", [True, False])
def test_a_stack_is_its_blocks_one_after_the_other(scan):
    stack = BlockStack(Block, 4, scan=scan, key=KEY)
    x, shift, each = normal(3, 6), normal(6), normal(4, 6)
    expected = with_each = x
    for i, key in enumerate(jax.random.split(KEY, 4)):
        block = Block(key=key)
        assert trees_equal(stack[i], block)  # the draws are those of single blocks
        expected = called(block, expected, shift)
        with_each = called(block, with_each, shift, each[i])
    np.testing.assert_allclose(called(stack, x, shift), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(called(stack, x, shift, each=each), with_each, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scan", [True, False])
def test_first_blocks_and_what_each_returns(scan):
    stack = BlockStack(Block, 4, scan=scan, key=KEY)
    x, shift = normal(3, 6), normal(6)
    first = stack.first(2)
    assert first.depth == 2 and trees_equal(first[1], stack[1])
    one = called(stack[0], x, shift)
    second = called(stack[1], one, shift)
    np.testing.assert_allclose(called(first, x, shift), second, rtol=1e-5, atol=1e-6)
    pairs = eqx.tree_at(lambda s: s.stacked, first, Doubled(first.stacked))
    last, every = called(pairs.collect, x, shift)
    np.testing.assert_allclose(last, second, rtol=1e-5, atol=1e-6)
    expected = 2 * np.stack([one, second])
    np.testing.assert_allclose(every, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="1 to the stack's 4, received 5"):
        stack.first(5)


class Doubled(eqx.Module):
    block: Block

    def __call__(self, x, shift):
        x = self.block(x, shift)
        return x, 2 * x


def test_a_stack_knows_its_shapes_without_weights():
    shapes = eqx.filter_eval_shape(lambda key: BlockStack(Block, 4, key=key), KEY)
    drawn = eqx.filter(BlockStack(Block, 4, key=KEY), eqx.is_array)
    assert jax.tree.map(jnp.shape, drawn) == jax.tree.map(
        lambda leaf: leaf.shape, eqx.filter(shapes, lambda leaf: hasattr(leaf, "shape"))
    )
    with pytest.raises(ValueError, match="at least 1 block, received depth=0"):
        BlockStack(partial(Block), 0, key=KEY)
