"""The discriminator of image patches: its size, its patches, its losses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.latents import discriminator_loss, generator_loss, PatchDiscriminator
from equildm.runtime import count_parameters


def test_discriminator_is_the_patchgan_of_taming():
    """48*64+64 + 16*(64*128+128*256+256*512) + 16*512+1, and 2*(128+256+512) in the norms."""
    discriminator = PatchDiscriminator(key=jax.random.key(0))
    assert count_parameters(discriminator) == 2_765_633
    for shape, patches in (((64, 64, 3), (6, 6)), ((256, 128, 3), (30, 14))):
        image = jax.ShapeDtypeStruct(shape, jnp.float32)
        assert eqx.filter_eval_shape(discriminator, image).shape == patches


def test_a_patch_sees_70_pixels():
    discriminator = PatchDiscriminator(4, groups=1, key=jax.random.key(0))
    discriminator = eqx.tree_at(
        lambda d: d.norms, discriminator, tuple(lambda x: x for _ in discriminator.norms)
    )
    gradient = jax.jit(jax.grad(lambda x: discriminator(x)[7, 7]))(np.ones((128, 128, 3)))
    rows = np.flatnonzero(np.abs(gradient).sum((1, 2)))
    assert rows[-1] - rows[0] + 1 == 70


def test_hinge_losses():
    real, fake = np.array([[2.0, 0.5]]), np.array([[-3.0, 1.0]])
    loss = jax.jit(discriminator_loss)
    assert float(loss(real, fake)) == 0.5 * (0.25 + 1.0)
    assert float(jax.jit(generator_loss)(fake)) == 1.0
    assert float(loss(0 * real, 0 * fake)) == 1.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PatchDiscriminator(layers=0, key=jax.random.key(0)), "at least one layer"),
        (
            lambda: PatchDiscriminator(8, key=jax.random.key(0))(jnp.zeros((8, 64, 3))),
            "at least 16 pixels",
        ),
    ],
)
def test_what_cannot_be_is_an_error(make, words):
    with pytest.raises(ValueError, match=words):
        make()
