"""The UNets' attentions on a GPU: cuDNN's kernel beside `attend`, right and fast.

    python benchmarks/gpu/attention.py                      # heads of c = 64, 128 and 320

For each level of a UNet at 64x64 latents: self-attention, and attention to 77 tokens of which some
are masked, forward and backward in bfloat16. `error` is the largest relative distance
`|out - right| / |right|` of the output and the three gradients from `attend` in float32; bfloat16
itself makes 0.01. A ratio is the time of `attend` over the kernel's.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array

from benchmarks._peer import alternate, compare, timed
from equildm.nn import attend, fused_attend


@dataclasses.dataclass(frozen=True)
class Config:
    """Which attentions are timed."""

    widths: tuple[int, ...] = (64, 128, 320)
    """Base channels of the UNets, of 8 heads."""
    batch: int = 8
    """Examples at a time."""
    rounds: int = 5
    """Number of times that each is timed."""
    repeats: int = 10
    """Calls in a round."""


def gradients(function: Callable[..., Array]) -> Callable[..., Any]:
    """The output of a batch, and the gradients of a sum that weighs every element differently."""

    def loss(query: Array, key: Array, value: Array, mask: Array | None) -> tuple[Array, Array]:
        out = jax.vmap(function)(query, key, value, mask).astype(jnp.float32)
        return jnp.sum(jnp.sin(out)), out

    return jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))


def distance(got: Any, right: Any) -> float:
    """The largest relative distance of any leaf."""

    def one(a: Array, b: Array) -> float:
        return float(jnp.linalg.norm(a.astype(jnp.float32) - b) / jnp.linalg.norm(b))

    return max(one(a, b) for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(right), strict=True))


def case(queries: int, keys: int, width: int, c: Config) -> None:
    """Checks and times one shape; fewer keys than queries are a caption's, and masked."""
    shapes = ((c.batch, n, 8, width) for n in (queries, keys, keys))
    keys_ = jax.random.split(jax.random.key(width), 3)
    arrays = tuple(jax.random.normal(k, s) for k, s in zip(keys_, shapes, strict=True))
    half = tuple(x.astype(jnp.bfloat16) for x in arrays)
    shown = jnp.arange(keys) < jnp.linspace(1, keys, c.batch).astype(int)[:, None]
    mask = None if keys == queries else shown
    functions = {"ours": gradients(fused_attend), "peer": gradients(attend)}
    with jax.default_matmul_precision("highest"):
        exact = tuple(x.astype(jnp.float32) for x in half)
        right = gradients(attend)(*exact, mask)
    errors = [distance(function(*half, mask), right) for function in functions.values()]

    def repeated(function: Callable[..., Any]) -> Callable[[], float]:
        calls = timed(lambda: [function(*half, mask) for _ in range(c.repeats)][-1])
        return lambda: calls() / c.repeats

    def waited(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: jax.block_until_ready(function(*args))

    calls = {name: repeated(waited(f)) for name, f in functions.items()}
    timings = alternate(calls, rounds=c.rounds, warmup=1)
    kind = "self " if mask is None else "cross"
    line = f"{kind} {queries:5} x {keys:5}, heads of {width:3}: "
    line += f"error {errors[0]:.4f} and {errors[1]:.4f}  "
    print(line + str(compare(timings["ours"], timings["peer"])), flush=True)


def main(c: Config) -> None:
    """Every level of every width."""
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, batch {c.batch}")
    for width in c.widths:
        print(f"c = {width}")
        for level, side in enumerate((64, 32, 16, 8)):
            head = width * min(2**level, 4) // 8
            case(side * side, side * side, head, c)
            case(side * side, 77, head, c)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
