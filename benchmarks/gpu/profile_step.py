"""Where a training step's time goes on a GPU: kernels by kind, memory, share of the peak.

    python benchmarks/gpu/profile_step.py --case 320x32x64     # width x batch x latent size

The step of `benchmarks/train_step.py` in bfloat16, profiled for a few calls. The sums are of the
device's own clock. `--out` keeps the whole list of kernels.
"""

import collections
import dataclasses
import gzip
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import tyro

from benchmarks.train_step import Config as StepConfig, ours
from equildm.runtime import peak_flops

KINDS = {
    "attention": r"fmha|flash|sdpa",
    "convolution": r"conv(?!ert)|fprop|dgrad|wgrad|implicit",
    "matrix product": r"gemm|nvjet|cutlass|cublas|matmul|triton_.*dot",
    "transpose": r"transpose|nchwToNhwc|nhwcToNchw",
    "reduction": r"reduce",
    "copy": r"copy|memcpy|memset",
    "elementwise": r"fusion|loop|wrapped|add|multiply|select|convert|concatenate|slice|pad",
}
"""The first expression that the kernel's name has decides."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is profiled."""

    case: str = "320x16x64"
    """WIDTHxBATCHxSIZE of the latents, of 4 channels."""
    steps: int = 5
    """Number of steps in the profile."""
    top: int = 25
    """Number of kernels that are printed."""
    out: Path | None = None
    """Folder for the list of kernels."""


class Kernel(NamedTuple):
    """A kernel's seconds and calls in a step."""

    seconds: float
    calls: float


def kernels(folder: str, steps: int) -> dict[str, Kernel]:
    """The kernels of a profile of so many steps, by name, the longest first."""
    path = next(Path(folder).rglob("*.xplane.pb"))
    seconds: collections.Counter[str] = collections.Counter()
    calls: collections.Counter[str] = collections.Counter()
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        if not plane.name.startswith("/device:GPU"):
            continue
        for line in plane.lines:
            if line.name.startswith("Stream"):
                for event in line.events:
                    seconds[event.name] += event.duration_ns  # type: ignore[assignment]
                    calls[event.name] += 1
    return {
        name: Kernel(nanoseconds / 1e9 / steps, calls[name] / steps)
        for name, nanoseconds in seconds.most_common()
    }


def by_kind(timings: dict[str, Kernel]) -> dict[str, Kernel]:
    """The sums over the kernels of each kind, the longest first."""
    sums: dict[str, Kernel] = {}
    for name, kernel in timings.items():
        before = sums.get(kind_of(name), Kernel(0, 0))
        sums[kind_of(name)] = Kernel(before.seconds + kernel.seconds, before.calls + kernel.calls)
    return dict(sorted(sums.items(), key=lambda item: -item[1].seconds))


def kind_of(name: str) -> str:
    """The kind of a kernel, by its name."""
    return next((k for k, words in KINDS.items() if re.search(words, name, re.I)), "other")


def main(c: Config) -> None:
    """Compiles, runs and profiles one step."""
    jax.config.update("jax_enable_compilation_cache", False)
    width, batch, size = map(int, c.case.split("x"))
    start = time.perf_counter()
    mine = ours(width, batch, size, StepConfig(device="gpu", kinds=("step",)))
    print(f"c = {width}, batch {batch}: built and compiled in {time.perf_counter() - start:.0f} s")
    jax.block_until_ready([mine["step"]() for _ in range(3)])
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready([mine["step"]() for _ in range(c.steps)])
        seconds.append((time.perf_counter() - start) / c.steps)
    step = sorted(seconds)[2]
    kind = jax.devices()[0].device_kind
    peak = peak_flops(kind) or float("nan")
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    print(
        f"{kind}: {1e3 * step:.1f} ms a step ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"
        f", {batch / step:.1f} images/s, MFU {3 * mine['flops'] / step / peak:.1%}, "
        f"peak memory {memory / 2**30:.1f} GiB",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready([mine["step"]() for _ in range(c.steps)])
        timings = kernels(folder, c.steps)
    total = sum(kernel.seconds for kernel in timings.values())
    print(f"kernels fill {total / step:.0%} of the step")
    for name, (seconds_, calls) in by_kind(timings).items():
        print(f"  {name:16} {seconds_ / total:6.1%} {1e3 * seconds_:8.2f} ms, {calls:6.0f} kernels")
    lines = [f"{1e3 * s:9.3f} ms {calls:6.1f}x {name}" for name, (s, calls) in timings.items()]
    print("\n".join(lines[: c.top]))
    if c.out is not None:
        c.out.mkdir(parents=True, exist_ok=True)
        with gzip.open(c.out / f"kernels_{c.case}.txt.gz", "wt") as file:
            file.write("\n".join(lines))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
