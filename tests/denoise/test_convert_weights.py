"""Weights that are converted ahead of a sampler's loop: nothing else changes."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, others_slow, trees_equal
from small_models import moved_weights

from equildm import ControlCondition, ImageCondition, SizeCondition, TextEmbedding
from equildm.denoise import (
    ConcatConfig,
    ControlNetConfig,
    convert_weights,
    DiTConfig,
    GuidanceEmbeddingConfig,
    Guided,
    MMDiTConfig,
    Preconditioned,
    SizeConditioningConfig,
    UNetConfig,
)
from equildm.nn import Conv, Linear, new_lora, TimeEmbedding, with_lora_layers
from equildm.noise import grids, ScaledLinear, Velocity
from equildm.sampling import DPMpp2M, sample

SCHEDULE = ScaledLinear()
UNET = UNetConfig(
    8, in_channels=3, out_channels=3, context_width=5, multipliers=(1,), depths=(1,),
    transformer_depths=(0,), heads=2, groups=4,
)  # fmt: skip
DIT = DiTConfig(16, 2, 2, in_channels=3, out_channels=3, context_width=5)
MMDIT = MMDiTConfig(
    16, 2, 2, in_channels=3, out_channels=3, context_width=5, qk_norm=True, pooled_width=7
)


def random(*shape: int) -> jax.Array:
    return jax.device_put(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


X = random(4, 6, 3)
TEXT = TextEmbedding(random(4, 5), jax.device_put(np.array([True, True, True, False])))
CASES = {
    "unet": (UNET, TEXT),
    "dit": (DIT, TEXT),
    "pixart": (dataclasses.replace(DIT, modulation="shared"), TEXT),
    "mmdit": (MMDIT, dataclasses.replace(TEXT, pooled=random(7))),
    "guidance": (GuidanceEmbeddingConfig(UNET, width=6), (TEXT, jnp.float32(3.3))),
    "size": (
        SizeConditioningConfig(UNET),
        SizeCondition(TEXT, jax.device_put(100 * np.abs(random(6)))),
    ),
    "concat": (ConcatConfig(UNET, 2), ImageCondition(TEXT, random(4, 6, 2), jnp.float32(77))),
    "control": (
        ControlNetConfig(UNET, hint_channels=(4,)),
        ControlCondition(TEXT, X),
    ),
}


def denoiser_of(name: str, compute: str | None = "bfloat16") -> Preconditioned:
    network = CASES[name][0].build(key=jax.random.key(0))
    network = moved_weights(network, 0.1, np.random.default_rng(1))
    return Preconditioned(network, SCHEDULE, Velocity(), compute)


@pytest.mark.parametrize("name", others_slow(CASES, "concat"))
def test_the_estimate_is_the_same_bit_for_bit(name: str):
    denoiser, condition = denoiser_of(name), CASES[name][1]
    if name == "unet":  # with adapters, which are layers around layers
        lora = new_lora(denoiser.network, 2, key=jax.random.key(2))
        lora = moved_weights(lora, 0.1, np.random.default_rng(3))
        network = with_lora_layers(denoiser.network, lora)
        denoiser = Preconditioned(network, SCHEDULE, Velocity(), "bfloat16")
    converted = called(convert_weights, denoiser)
    both = lambda *denoisers: [one(X, jnp.float32(2.5), condition) for one in denoisers]
    np.testing.assert_array_equal(*called(both, converted, denoiser))
    names = {
        jax.tree_util.keystr(path): leaf.dtype.name
        for path, leaf in jax.tree_util.tree_leaves_with_path(converted)
    }
    assert all(dtype == "float32" for name, dtype in names.items() if ".time.hidden" in name)
    assert "bfloat16" in names.values()


def test_without_a_dtype_nothing_is_converted():
    denoiser = denoiser_of("dit", None)
    assert trees_equal(convert_weights(denoiser), denoiser)


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


def layer_shapes(network: Any) -> set[tuple[int, ...]]:
    """Of the weights that a layer converts."""
    stop = (Conv, Linear, TimeEmbedding)
    parts = jax.tree.leaves(network, is_leaf=lambda part: isinstance(part, stop))
    return {part.weight.shape for part in parts if isinstance(part, Conv | Linear)}


@pytest.mark.parametrize("ahead", [True, False])
def test_a_sampler_converts_no_weight_in_its_loop(ahead: bool):
    network, levels = denoiser_of("unet").network, grids.trailing(SCHEDULE, 4)

    def program(network: Any, noise: jax.Array) -> jax.Array:
        inner = Preconditioned(network, SCHEDULE, Velocity(), "bfloat16")
        guided = Guided(convert_weights(inner) if ahead else inner, 3.0)
        return sample(guided, noise, levels, DPMpp2M(), condition=(TEXT, TEXT))

    arrays, static = eqx.partition(network, eqx.is_array)
    traced = jax.make_jaxpr(lambda arrays, x: program(eqx.combine(arrays, static), x))
    converted = set(conversions_in_loops(traced(arrays, X).jaxpr))
    assert layer_shapes(network) & converted == (set() if ahead else layer_shapes(network))
