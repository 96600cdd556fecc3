"""Seconds to trace and compile a transformer with its blocks scanned and written out.

    python benchmarks/scan_compile.py                          # 28 blocks, forward and gradient
    python benchmarks/scan_compile.py --depth 12 --backbone mmdit

The compile cache is off. Seconds are of the processor, which other work on the machine does not
lengthen, and by the clock.
"""

import dataclasses
import time
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Compile time of scanned and of unrolled blocks."""

    backbone: Literal["dit", "mmdit"] = "dit"
    """Kind of the network."""
    depth: int = 28
    """Number of blocks."""
    size: str = "S/2"
    """Preset whose width is taken."""
    side: int = 32
    """Side of the latent."""


def main(config: Config) -> None:
    jax.config.update("jax_enable_compilation_cache", False)
    times = {}
    for name in ("forward", "gradient"):
        for scan in (True, False):
            times[scan] = seconds(config, scan, name == "gradient")
            kind = "scanned" if scan else "unrolled"
            print(
                f"{name} {kind}: {times[scan][0]:.1f} s processor, {times[scan][1]:.1f} s",
                flush=True,
            )
        print(f"{name}: scanned / unrolled = {times[True][0] / times[False][0]:.3f}", flush=True)


def seconds(config: Config, scan: bool, gradient: bool) -> tuple[float, float]:
    """Of the processor and by the clock."""
    sizes = eqd.BACKBONES[config.backbone](config.size)
    sizes = dataclasses.replace(sizes, depth=config.depth, scan=scan)  # type: ignore[call-arg]
    network = eqd.network_shapes(sizes)
    inputs = eqd.input_shapes(sizes, config.side, 77)
    arrays, static = eqx.partition(network, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))

    def loss(arrays, *inputs):
        return jnp.mean(eqx.combine(arrays, static)(*inputs) ** 2)

    function = jax.jit(jax.grad(loss) if gradient else loss)
    start = time.process_time(), time.perf_counter()
    function.lower(arrays, *inputs).compile()
    return time.process_time() - start[0], time.perf_counter() - start[1]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
