"""The levels of a consistency training: the published times, grids and shares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from distill_oracle import NULL, SCHEDULE, STUDENT, TEACHER
from jax.scipy.special import erf

from equildm.distill import CoDi, GrowingLevelPairs, KarrasLevelPairs, LCM, TimeLevelPairs
from equildm.noise import INFINITE_LEVEL

ZERO = jnp.asarray(0)


def test_times_are_the_published_ones():
    kinds = [
        (LCM(STUDENT, NULL, SCHEDULE, TEACHER).pairs, np.arange(19, 1000, 20)),
        (CoDi(STUDENT, NULL, SCHEDULE, TEACHER).pairs, np.arange(0, 1000, 20)),
        (TimeLevelPairs(SCHEDULE, first=990, every=3), [990, 993, 996, 999]),
    ]
    levels = lambda key: jnp.asarray([pairs(key, ZERO) for pairs, _ in kinds])
    times = jax.jit(jax.vmap(lambda key: SCHEDULE.time(levels(key))))
    draws = np.round(np.asarray(times(jax.random.split(jax.random.key(0), 4000))))
    for i, (_, expected) in enumerate(kinds):
        drawn = np.unique(draws[:, i], axis=0)
        np.testing.assert_array_equal(drawn[:, 0], expected)
        np.testing.assert_array_equal(drawn[:, 1], np.maximum(drawn[:, 0] - 20, 0))


def test_levels_of_a_growing_grid_are_drawn_as_the_paper_says():
    pairs = GrowingLevelPairs(0.002, 80.0, updates=800)
    grown = jax.jit(jax.vmap(pairs.intervals))(np.array([0, 99, 100, 350, 799, 10**6]))
    assert grown.tolist() == [10, 10, 20, 80, 1280, 1280]
    keys = jax.random.split(jax.random.key(0), 20_000)
    s0, s1 = map(np.asarray, jax.jit(jax.vmap(lambda k: pairs(k, ZERO)))(keys))
    grid = (0.002 ** (1 / 7) + np.arange(11) / 10 * (80 ** (1 / 7) - 0.002 ** (1 / 7))) ** 7
    index = np.argmin(np.abs(np.log(s1[:, None] / grid[None, :-1])), axis=1)
    np.testing.assert_allclose(s1, grid[index], rtol=1e-5)
    np.testing.assert_allclose(s0, grid[index + 1], rtol=1e-5)
    share = np.diff(np.asarray(erf((np.log(grid) + 1.1) / (2**0.5 * 2.0))))
    share = share / np.sum(share)
    frequencies = np.bincount(index, minlength=10) / len(index)
    np.testing.assert_allclose(frequencies, share, atol=4 * np.sqrt(0.25 / len(index)))


@pytest.mark.parametrize("high", [INFINITE_LEVEL, 20_000.0, 80.0])
def test_pairs_are_not_spent_where_there_is_only_noise(high):
    """Of the cosine schedule's levels, 65 to 83 % of the pairs lay above 80."""
    keys = jax.random.split(jax.random.key(0), 2_000)
    kinds = KarrasLevelPairs(0.03, high), GrowingLevelPairs(0.03, high, updates=800)
    draws = jax.jit(jax.vmap(lambda k: [pairs(k, ZERO) for pairs in kinds]))(keys)
    for pairs, levels in zip(kinds, draws, strict=True):
        s0, s1 = map(np.asarray, levels)
        assert np.mean(s0 > 80.001) <= (high > 80) * 0.08  # one of 17 intervals
        assert np.all(s1 <= 80.001) and np.all(s0 > s1)
        if high > 80 and isinstance(pairs, KarrasLevelPairs):
            assert s0.max() == np.float32(high)
            np.testing.assert_allclose(s1[s0.argmax()], 80, rtol=1e-5)
