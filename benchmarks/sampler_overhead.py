"""What sampling through diffrax costs beside a loop written by hand.

    python benchmarks/sampler_overhead.py                      # all parts
    python benchmarks/sampler_overhead.py --parts trivial unet --rounds 5

Parts: `trivial`, a denoiser of almost no work, which shows the overhead of a step; `unet`, the
width-scaled UNet; `noise`, the trivial denoiser with fresh noise at each step; `guidance`, the cost
of a traced guidance scale; `peer`, the loop of diffusers' pipeline (DDIM with guidance) around a
UNet of the same configuration in PyTorch, in the interpreter that EQUILDM_PEER_PYTHON names.

Times are seconds of one call, measured in turn. A ratio is the other time over ours: 1 is no
overhead, and above 1 ours is faster. Compile times are of tracing, lowering and compiling with
empty caches.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array

from benchmarks._peer import alternate, compare, compare_with, Peer, timed
from equildm import Condition, TextEmbedding
from equildm.denoise import Guided, Preconditioned, UNetConfig
from equildm.noise import Epsilon, grids, ScaledLinear
from equildm.sampling import Ancestral, DDIM, Denoiser, sample

SCHEDULE = ScaledLinear()


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed, and at which size."""

    parts: tuple[str, ...] = ("trivial", "noise", "unet", "guidance", "peer")
    """Some of trivial, noise, unet, guidance, peer."""
    steps: int = 50
    """Steps of DDIM."""
    width: int = 32
    """Base channels of the UNet."""
    batch: int = 4
    """Samples at a time."""
    size: int = 16
    """Height and width of the latents."""
    rounds: int = 5
    """Repetitions of each timing."""
    guidance_scale: float = 7.5
    """Scale of classifier-free guidance."""


def trivial(y: Array, s: Array, condition: Condition) -> Array:
    """A denoiser of almost no work."""
    return jnp.tanh(y) / (1 + s)


def by_hand(denoiser: Denoiser, noise: Array, levels: Array, text: Condition) -> Array:
    """DDIM written without a library."""

    def step(y: Array, ends: tuple[Array, Array]) -> tuple[Array, None]:
        s0, s1 = ends
        clean = jax.vmap(denoiser, in_axes=(0, None, 0))(y, s0, text)
        return clean + (s1 / s0) * (y - clean), None

    y = noise * jnp.sqrt(1 + levels[0] ** 2)
    return jax.lax.scan(step, y, (levels[:-1], levels[1:]))[0]


def by_hand_noisy(
    denoiser: Denoiser, noise: Array, levels: Array, text: Condition, keys: Array
) -> Array:
    """The same for DDPM, with fresh noise."""

    def step(y: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, None]:
        s0, s1, i = inputs
        clean = jax.vmap(denoiser, in_axes=(0, None, 0))(y, s0, text)
        draw = lambda key: jax.random.normal(jax.random.fold_in(key, i), y.shape[1:])
        ratio = s1 / s0
        fresh = s1 * jnp.sqrt(1 - ratio**2) * jax.vmap(draw)(keys)
        return clean + ratio**2 * (y - clean) + fresh, None

    y = noise * jnp.sqrt(1 + levels[0] ** 2)
    inputs = levels[:-1], levels[1:], jnp.arange(len(levels) - 1)
    return jax.lax.scan(step, y, inputs)[0]


def ours(denoiser: Denoiser, noise: Array, levels: Array, text: Condition) -> Array:
    """The same by the library."""
    run = lambda noise, text: sample(denoiser, noise, levels, DDIM(), condition=text)
    return jax.vmap(run)(noise, text)


def ours_noisy(
    denoiser: Denoiser, noise: Array, levels: Array, text: Condition, keys: Array
) -> Array:
    """The same by the library, with fresh noise."""

    def run(noise: Array, text: Any, key: Array) -> Array:
        return sample(denoiser, noise, levels, Ancestral(), condition=text, key=key)

    return jax.vmap(run)(noise, text, keys)


def compiled(function: Callable[..., Array], *args: Any) -> tuple[Callable[[], Any], float]:
    """A call that waits for its result, and the seconds of tracing and compiling."""
    jax.clear_caches()
    start = time.perf_counter()
    jitted: Any = eqx.filter_jit(function)
    program = jitted.lower(*args).compile()
    seconds = time.perf_counter() - start
    return lambda: jax.block_until_ready(program(*args)), seconds


def versus(
    title: str,
    mine: Callable[..., Array],
    other: Callable[..., Array],
    *args: Any,
    rounds: int,
    repeats: int = 1,
) -> None:
    """Compiles both twice, times both in turn, `repeats` calls at a time, and prints the ratios."""
    builds: dict[str, list[float]] = {"ours": [], "other": []}
    calls: dict[str, Callable[[], Any]] = {}
    for _ in range(2):
        for name, function in (("other", other), ("ours", mine)):
            calls[name], seconds = compiled(function, *args)
            builds[name].append(seconds)
    a, b = (jnp.asarray(calls[name]()) for name in ("ours", "other"))
    several = {
        name: lambda call=call: [call() for _ in range(repeats)] for name, call in calls.items()
    }
    timings = alternate({name: timed(call) for name, call in several.items()}, rounds=rounds)
    build = {name: min(seconds) for name, seconds in builds.items()}
    print(f"{title:28s} {compare(timings['ours'], timings['other'])}")
    print(
        f"{'':28s} compile: ours {build['ours']:5.1f} s  other {build['other']:5.1f} s  "
        f"({build['ours'] / build['other']:.2f}x); largest difference {jnp.abs(a - b).max():.1e}",
        flush=True,
    )


def main(c: Config) -> None:
    """Times the chosen parts."""
    pace = partial(versus, rounds=c.rounds)
    jax.config.update("jax_enable_compilation_cache", False)
    levels = jnp.asarray(grids.trailing(SCHEDULE, c.steps), jnp.float32)
    key = jax.random.key(0)
    noise = jax.random.normal(key, (c.batch, c.size, c.size, 4))
    keys = jax.random.split(key, c.batch)
    nothing = jnp.zeros(c.batch)
    print(f"{c.steps} steps, {c.batch} latents of {c.size}x{c.size}x4, {jax.devices()[0]}")

    if "trivial" in c.parts:
        args: Any = (trivial, noise, levels, nothing)
        pace("trivial, 200 calls", ours, by_hand, *args, repeats=200)
    if "noise" in c.parts:
        args = (trivial, noise, levels, nothing, keys)
        pace("fresh noise, 50 calls", ours_noisy, by_hand_noisy, *args, repeats=50)
    if not {"unet", "guidance", "peer"} & set(c.parts):
        return

    network = UNetConfig(c.width).build(key=key)
    denoiser = Preconditioned(network, SCHEDULE, Epsilon())
    tokens = jax.random.normal(key, (c.batch, 77, 1024))
    text = TextEmbedding(tokens, jnp.ones((c.batch, 77), bool))
    pair = (text, jax.tree.map(lambda leaf: leaf[::-1], text))
    if "unet" in c.parts:
        pace(f"UNet c = {c.width}, scan by hand", ours, by_hand, denoiser, noise, levels, text)
    if "guidance" in c.parts:
        fixed, traced = (
            Guided(denoiser, c.guidance_scale),
            Guided(denoiser, jnp.array(c.guidance_scale)),
        )
        one = Guided(denoiser, jnp.array(1.0))
        guided = lambda d, *rest: ours(fixed, *rest)
        pace("traced scale, against a number", ours, guided, traced, noise, levels, pair)
        plain = lambda d, noise, levels, pair: ours(denoiser, noise, levels, pair[0])
        pace("traced scale 1, against none", ours, plain, one, noise, levels, pair)
    if "peer" in c.parts:
        guided_denoiser = Guided(denoiser, jnp.array(c.guidance_scale))
        call, _ = compiled(ours, guided_denoiser, noise, levels, pair)
        config = {"width": c.width, "batch": c.batch, "size": c.size, "steps": c.steps}
        worker = Path(__file__).parent / "peers" / "pipeline_worker.py"
        with Peer(worker, config | {"guidance_scale": c.guidance_scale}) as peer:
            comparison = compare_with(peer, "sample", call, rounds=c.rounds)
        print(f"{'diffusers loop, guided':28s} {comparison}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
