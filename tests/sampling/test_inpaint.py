"""Inpainting keeps what is known, and paints the rest to match."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from helpers import others_slow
from oracle import GaussianMixture

from equildm.noise import grids, ScaledLinear
from equildm.sampling import example_noise, Inpainted, sample, SOLVERS, trajectory

LEVELS = grids.karras(ScaledLinear(), 40)
# Two images, all -1 or all +1: what one half shows, the other must.
ORACLE = GaussianMixture(
    jnp.stack([-jnp.ones((2, 2, 1)), jnp.ones((2, 2, 1))]), jnp.array([0.2, 0.2])
)
KNOWN = jnp.stack([jnp.ones((2, 1)), jnp.zeros((2, 1))])
MASK = jnp.stack([jnp.zeros((2, 1), bool), jnp.ones((2, 1), bool)])


@pytest.mark.parametrize(
    "name, agreement",
    others_slow(
        [("ddpm", 0.85), ("sde-dpm++2m", 0.85), ("dpm++2m", 0.75), ("unipc3", 0.75)],
        ("ddpm", 0.85),
        ("dpm++2m", 0.75),
    ),
)
def test_known_stays_and_the_rest_matches(name: str, agreement: float) -> None:
    def one(index: jax.Array) -> jax.Array:
        noise, key = example_noise(jax.random.key(0), index, (2, 2, 1))
        denoiser = Inpainted(ORACLE, KNOWN, MASK)
        return sample(denoiser, noise, LEVELS, SOLVERS[name](), key=key)

    finals = np.asarray(jax.jit(jax.vmap(one))(np.arange(64)))
    np.testing.assert_array_equal(finals[:, 0], np.broadcast_to(KNOWN[0], (64, 2, 1)))
    # The replacement is an approximation: most of the painted pixels, not all, agree.
    assert np.mean(finals[:, 1] > 0) > agreement
    assert finals[:, 1].std() > 0.1


def test_on_its_way_the_known_part_carries_the_noise_of_its_level() -> None:
    noise, _ = jax.device_get(example_noise(jax.random.key(0), 0, (2, 2, 1)))
    run = jax.jit(lambda noise: trajectory(Inpainted(ORACLE, KNOWN, MASK), noise, LEVELS))
    path = jax.device_get(run(noise))
    carried = (path.states[:-1, 0] - np.asarray(KNOWN[0])) / path.levels[:-1, None, None]
    np.testing.assert_allclose(carried, np.broadcast_to(carried[0], carried.shape), rtol=1e-3)
    np.testing.assert_allclose(carried[0], noise[0], atol=0.1)


def test_a_mask_without_an_axis_of_channels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"mask\[\.\.\., None\]"):
        Inpainted(ORACLE, KNOWN, MASK[..., 0])
