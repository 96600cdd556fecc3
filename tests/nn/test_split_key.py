"""Keys are those of `jax.random.split`, with one compiled program for all their numbers."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest
from helpers import others_slow, run_python, trees_equal

from equildm.nn import BlockStack, Linear, MLP, shapes_of, split_key


@pytest.mark.parametrize("count", others_slow([1, 2, 7, 64, 65, 200], 1, 7, 65))
@pytest.mark.parametrize("generator", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_they_are_those_of_jax(generator: str, count: int):
    key = jax.random.key(3, impl=generator)
    assert same(split_key(key, count), jax.random.split(key, count))


def test_they_are_those_of_jax_in_its_old_way():
    key = jax.random.key(4)
    with jax.threefry_partitionable(False):
        assert same(split_key(key, 3), jax.random.split(key, 3))


def test_they_are_those_of_jax_under_a_trace():
    key = jax.random.key(5)
    assert same(jax.jit(lambda key: split_key(key, 3))(key), jax.random.split(key, 3))


def test_a_key_from_outside_is_split_inside_a_jit():
    key = jax.random.key(6)
    assert same(jax.jit(lambda: split_key(key, 3))(), jax.random.split(key, 3))


@pytest.mark.parametrize("scan", [True, False])
def test_a_stack_of_blocks_is_built_inside_a_jit_with_a_key_from_outside(scan: bool):
    key = jax.random.key(7)
    build = partial(BlockStack, partial(MLP, 4), 3, scan=scan)
    inside = eqx.filter_jit(lambda: build(key=key))()
    passed = eqx.filter_jit(lambda key: build(key=key))(key)
    assert trees_equal(inside, passed)


def same(keys, jaxs) -> bool:
    assert len(keys) == len(jaxs)
    data = [np.asarray(jax.random.key_data(each)) for each in (*keys, jaxs)]
    return all(key.dtype == jaxs.dtype for key in keys) and np.array_equal(data[:-1], data[-1])


COUNTS = """
import jax
import jax._src.test_util as jtu
from equildm.nn import split_key

key = jax.random.key(0)
for split in (split_key, jax.random.split):
    [key for key in split(key, 2)]
    with jtu.count_jit_compilation_cache_miss() as count:
        for parts in range(3, 9):
            [key for key in split(key, parts)]
    print(count())
"""


def test_another_number_compiles_nothing():
    ours, theirs = map(int, run_python(COUNTS).split())
    assert ours == 0 < 6 <= theirs


def test_a_trace_inside_keeps_its_placeholders():
    def build(key):
        inner, outer = split_key(key)
        first = jax.eval_shape(lambda: Linear(3, 4, key=inner))
        return first, jax.jit(lambda: Linear(3, 4, key=inner))(), Linear(3, 4, key=outer)

    first, second, third = shapes_of(build)
    assert first.weight.shape == second.weight.shape == third.weight.shape == (3, 4)
    assert np.dtype(third.weight.dtype) == np.float32
