"""Random regions to paint: their shapes, their sizes and their keys."""

from itertools import pairwise

import jax
import numpy as np
import pytest

from equildm.training import box_mask, brush_mask, random_mask

KEYS = jax.random.split(jax.random.key(0), 400)


def many(make, height, width):
    return np.asarray(jax.jit(jax.vmap(lambda key: make(key, height, width)))(KEYS))


def box_of(mask):
    """Rows and columns of the smallest box around a region."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def test_boxes_are_full_boxes_of_the_asked_size():
    masks = many(box_mask, 40, 80)
    assert masks.dtype == bool and masks.shape == (400, 40, 80)
    sides = np.asarray([box_of(mask) for mask in masks])
    np.testing.assert_array_equal(masks.sum((1, 2)), sides.prod(1))
    # Between a quarter and three quarters, give or take the pixel that a corner falls into.
    assert (sides >= [9, 19]).all() and (sides <= [31, 61]).all()
    assert (sides.min(0) <= [12, 24]).all() and (sides.max(0) >= [28, 56]).all()
    covered = masks.mean(0)
    assert (covered > 0).mean() > 0.95 and covered[20, 40] > 0.5  # anywhere, mostly the middle


def test_a_stroke_is_all_that_is_near_its_lines():
    """Beside the distance to points drawn densely along the lines."""

    @jax.jit
    def stroke(key):
        radius_key, point_key = jax.random.split(key)
        radius = jax.random.uniform(radius_key, (), minval=0.05, maxval=0.15)
        return radius, jax.random.uniform(point_key, (4, 2)), brush_mask(key, 24, 32)

    radius, ends, mask = map(np.asarray, stroke(KEYS[3]))
    shares = np.linspace(0, 1, 2001)[:, None]
    line = np.concatenate([a + shares * (b - a) for a, b in pairwise(ends)])
    centres = (np.indices((24, 32)).transpose(1, 2, 0) + 0.5) / [24, 32]
    distance = np.linalg.norm(centres[:, :, None] - line, axis=-1).min(-1)
    certain = np.abs(distance - radius) > 1e-3
    np.testing.assert_array_equal(mask[certain], (distance < radius)[certain])
    assert certain.mean() > 0.9


def test_half_are_boxes_and_all_leave_something_to_see_and_to_paint():
    masks = many(random_mask, 32, 32)
    shares = masks.mean((1, 2))
    assert shares.min() > 0.02 and shares.max() < 0.95
    boxes = [int(np.prod(box_of(mask))) == mask.sum() for mask in masks]
    assert np.mean(boxes) == pytest.approx(0.5, abs=0.1)


def test_a_key_fixes_the_mask():
    a, b = (many(random_mask, 32, 32) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    distinct = {mask.tobytes() for mask in a}
    assert len(distinct) > 380
