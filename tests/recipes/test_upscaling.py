"""Which squares are scored, what is said where there are none, and the VAE to go on from."""

import dataclasses
import sys

import jax
import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from equildm.data import AbstractSource, open_source, ShapesSource, Subset
from equildm.data.degrade import DEGRADATIONS
from equildm.interop import load_vae, shipped_vae

sys.path.insert(0, str(ROOT / "recipes"))
import train_vae
import upscaling


@pytest.mark.parametrize(
    ("source", "size"),
    [(Subset(ShapesSource(side=32, count=3), []), 32), (ShapesSource(side=32, count=3), 64)],
)
def test_without_a_picture_to_score_more_must_be_held_out(source: AbstractSource, size: int):
    with pytest.raises(ValueError, match=f"at least {size}x{size} .* of {len(source)} .*held-out"):
        upscaling.held_squares(source, size, DEGRADATIONS["bicubic"](4), 8)


def test_squares_are_the_same_each_time_and_of_every_picture_that_can_be_read(tmp_path):
    shapes = ShapesSource(side=48, count=3)
    for i in range(3):
        Image.fromarray(shapes.image(i)).save(tmp_path / f"{2 * i}.png")
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n")
    source = open_source(str(tmp_path))
    one, other = (
        upscaling.held_squares(source, 32, DEGRADATIONS["bicubic"](4), 9) for _ in range(2)
    )
    assert one.images.shape == (9, 32, 32, 3) and one.low.shape == (9, 8, 8, 3)
    assert set(one.groups) == {0, 2, 3}
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_vae_to_go_on_from_keeps_its_weights_and_loses_its_scale():
    vae, sizes = load_vae(shipped_vae())
    unscaled = dataclasses.replace(sizes, scale=1.0, shift=0.0)
    found = train_vae.started_from(shipped_vae(), unscaled)
    assert (found.scale, found.shift) == (1.0, 0.0) != (vae.scale, vae.shift)
    fresh = unscaled.build(key=jax.random.key(0))
    assert jax.tree.structure(found) == jax.tree.structure(fresh)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(vae), strict=True):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(ValueError, match="--init takes a VAE of the sizes"):
        train_vae.started_from(shipped_vae(), dataclasses.replace(unscaled, width=16))
