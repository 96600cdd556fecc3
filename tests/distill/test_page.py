"""The guide to distillation runs as it stands, and its student jumps."""

import jax
import jax.numpy as jnp
import pytest
from helpers import page_code

from equildm.noise import grids
from equildm.sampling import DDIM, sample


@pytest.mark.slow
def test_the_guide_runs():
    names: dict = {}
    exec(page_code("docs/distillation.md"), names)
    assert names["latent"].shape == (2, 2, 1)

    # From data N(0, 0.25), the flow only shrinks the noise.
    schedule, nothing = names["schedule"], names["nothing"]
    noise = jax.random.normal(jax.random.key(9), (64, 2, 2, 1))
    levels = jnp.asarray(grids.trailing(schedule, 1))
    ends = 0.5 * noise * jnp.sqrt((1 + levels[0] ** 2) / (0.25 + levels[0] ** 2))

    f = names["objective"].function(names["state"].average(), 1.0)
    pair = (nothing, nothing)
    jumps = jax.vmap(lambda n: sample(f, n, levels, DDIM(), condition=pair))(noise)
    assert float(jnp.sqrt(jnp.mean((jumps - ends) ** 2))) < 0.15  # of 0.5
