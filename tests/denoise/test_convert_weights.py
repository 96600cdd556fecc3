"""Weights that are converted ahead of a sampler's loop: nothing else changes."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import moved_weights

from equildm import TextEmbedding
from equildm.denoise import (
    convert_weights,
    DiTConfig,
    Guided,
    MMDiTConfig,
    Preconditioned,
    UNetConfig,
)
from equildm.nn import new_lora, with_lora_layers
from equildm.noise import grids, ScaledLinear, Velocity
from equildm.sampling import DPMpp2M, sample

UNET = UNetConfig(
    8, in_channels=3, out_channels=3, context_width=5, multipliers=(1, 2), depths=(1, 1),
    transformer_depths=(0, 1), heads=2, groups=4,
)  # fmt: skip
DIT = DiTConfig(16, 2, 2, in_channels=3, out_channels=3, context_width=5)
MMDIT = MMDiTConfig(
    16, 2, 2, in_channels=3, out_channels=3, context_width=5, qk_norm=True, pooled_width=7
)
CONFIGS = {
    "unet": UNET,
    "dit": DIT,
    "pixart": DiTConfig(
        16, 2, 2, in_channels=3, out_channels=3, context_width=5, modulation="shared"
    ),
    "mmdit": MMDIT,
}
SCHEDULE = ScaledLinear()


def random(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


def denoiser_of(
    name: str, compute: str | None = "bfloat16"
) -> tuple[Preconditioned, TextEmbedding]:
    config = CONFIGS[name]
    network = moved_weights(config.build(key=jax.random.key(0)), 0.1, np.random.default_rng(1))
    pooled = random(7) if name == "mmdit" else None
    return (
        Preconditioned(network, SCHEDULE, Velocity(), compute),
        TextEmbedding(random(4, 5), jnp.array([True, True, True, False]), pooled),
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_estimate_is_the_same_bit_for_bit(name: str):
    denoiser, text = denoiser_of(name)
    if name == "unet":  # with adapters, which are layers around layers
        lora = new_lora(denoiser.network, 2, key=jax.random.key(2))
        network = with_lora_layers(
            denoiser.network, moved_weights(lora, 0.1, np.random.default_rng(3))
        )
        denoiser = Preconditioned(network, SCHEDULE, Velocity(), "bfloat16")
    converted = convert_weights(denoiser)
    run = eqx.filter_jit(lambda denoiser: denoiser(random(8, 8, 3), jnp.float32(2.5), text))
    np.testing.assert_array_equal(run(converted), run(denoiser))
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(converted)}
    assert dtypes == {"bfloat16", "float32"}, "norms and the embedding of the time are float32"


def test_without_a_dtype_nothing_is_converted():
    denoiser, _ = denoiser_of("dit", None)
    assert eqx.tree_equal(convert_weights(denoiser), denoiser)


def conversions_in_loops(jaxpr: Any, inside: bool = False) -> Iterator[tuple[int, ...]]:
    """Shapes of what is converted to bfloat16 in the loops of a program."""
    for equation in jaxpr.eqns:
        if inside and equation.params.get("new_dtype") == jnp.bfloat16:
            yield equation.invars[0].aval.shape
        loop = equation.primitive.name in ("while", "scan")
        for inner in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from conversions_in_loops(inner, inside or loop)


@pytest.mark.parametrize("ahead", [True, False])
def test_a_sampler_converts_no_weight_in_its_loop(ahead: bool):
    denoiser, text = denoiser_of("unet")
    network, levels = denoiser.network, grids.trailing(SCHEDULE, 4)

    def program(network: Any, noise: jax.Array) -> jax.Array:
        inner = Preconditioned(network, SCHEDULE, Velocity(), "bfloat16")
        guided = Guided(convert_weights(inner) if ahead else inner, 3.0)
        return sample(guided, noise, levels, DPMpp2M(), condition=(text, text))

    arrays, static = eqx.partition(network, eqx.is_array)
    traced = jax.make_jaxpr(lambda arrays, x: program(eqx.combine(arrays, static), x))
    converted = set(conversions_in_loops(traced(arrays, random(8, 8, 3)).jaxpr))
    kernels = {leaf.shape for leaf in jax.tree.leaves(network) if leaf.ndim == 4}
    assert (not converted & kernels) == ahead
