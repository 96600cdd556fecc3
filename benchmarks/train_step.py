"""The UNet's forward pass and a training step beside diffusers' UNet in PyTorch.

    python benchmarks/train_step.py                    # c = 64 and 32, float32, this CPU
    python benchmarks/train_step.py --device gpu       # c = 64, 128, 320 in bfloat16, torch.compile
    python benchmarks/train_step.py --compiled         # beside torch.compile on this CPU
    python benchmarks/train_step.py --cases 16x4x8     # width x batch x latent size

Ours is the step that trains: `make_step` with the noise, the loss, clipping, AdamW and one average.
PyTorch's is the same work (`peers/unet_worker.py`), in the interpreter that EQUILDM_PEER_PYTHON
names. Both take turns in one run; a ratio is PyTorch's time over ours, above 1 ours is faster.
Memory is the peak of a process on a CPU (its imports included), of the device's allocator on a GPU.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro

import equildm as eqd
from benchmarks._peer import alternate, compare, peak_mb, Peer, reset_peak, timed
from equildm import TextEmbedding
from equildm.data import LatentBatch
from equildm.denoise import UNetConfig
from equildm.noise import Epsilon, ScaledLinear, Uniform, UniformTimes
from equildm.runtime import copied, count_flops, InPrecision, peak_flops, Policy
from equildm.runtime.freed_memory import give_back_freed_memory, keep_freed_memory
from equildm.training import adamw, DecayEMA, DenoisingObjective, make_step, TrainState

CASES = {"cpu": ("64x4x32", "32x8x16"), "gpu": ("64x32x64", "128x16x64", "320x8x64")}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    device: Literal["cpu", "gpu"] = "cpu"
    """gpu means bfloat16, and torch.compile for PyTorch."""
    cases: tuple[str, ...] = ()
    """WIDTHxBATCHxSIZE of the latents, of 4 channels."""
    rounds: int = 7
    """Number of times that each is timed."""
    repeats: int = 0
    """Calls in a row in a round, as in a training; by default 4 on a CPU, 20 on a GPU."""
    ema: float = 0.9999
    """Decay of the average of the weights, on both sides."""
    kinds: tuple[Literal["forward", "step"], ...] = ("forward", "step")
    """What is timed."""
    peer: bool = True
    """Whether to time PyTorch."""
    compiled: bool = False
    """Whether PyTorch on a CPU is `torch.compile`d; on a GPU it is."""
    cache: Path | None = None
    """Folder of compiled programs. With those of an earlier call nothing is compiled, as in the
    second run of a training."""


def ours(width: int, batch: int, size: int, c: Config) -> dict[str, Any]:
    """`forward` and `step`, their seconds of compilation, and the operations of a forward pass."""
    policy = Policy("bfloat16" if c.device == "gpu" else "float32")
    network: Any = UNetConfig(width).build(key=jax.random.key(0))
    noisy = jax.random.normal(jax.random.key(1), (batch, size, size, 4))
    tokens = jax.random.normal(jax.random.key(2), (batch, 77, 1024))
    text = TextEmbedding(tokens, jnp.ones((batch, 77), bool))
    times = jnp.linspace(0.0, 999.0, batch)

    def forward(network: Any, noisy: Any, times: Any, text: Any) -> Any:
        return jax.vmap(InPrecision(network, policy))(noisy, times, text)

    jitted: Any = eqx.filter_jit(forward)
    run: Any = None
    forward_compile = 0.0
    if "forward" in c.kinds:
        start = time.perf_counter()
        run = partial(jitted.lower(network, noisy, times, text).compile(), network)
        forward_compile = time.perf_counter() - start
        network = copied(network)  # a step overwrites its weights
    flops = count_flops(forward, network, noisy, times, text).total

    null = jax.tree.map(lambda leaf: leaf[0], text)
    objective = DenoisingObjective(
        ScaledLinear(), Epsilon(), Uniform(), UniformTimes(), null, policy=policy
    )
    optimizer, ema = adamw(1e-4), DecayEMA(c.ema)
    step = make_step(objective, optimizer, ema, key=jax.random.key(3))
    state = TrainState.create(network, optimizer, ema)
    start = time.perf_counter()
    state, _ = jax.block_until_ready(step(state, LatentBatch(noisy, text)))
    step_compile = time.perf_counter() - start
    give_back_freed_memory()  # as a training does after its first step

    def one_step() -> Any:
        nonlocal state
        state, metrics = step(state, LatentBatch(noisy, text))
        return metrics

    return {
        "forward": lambda: run(noisy, times, text),
        "step": one_step,
        "compile": {"forward": forward_compile, "step": step_compile},
        "flops": flops,
    }


def repeated(function: Callable[[], Any], times: int) -> Callable[[], float]:
    """Seconds of one of `times` calls, with one wait at the end."""
    several = timed(lambda: jax.block_until_ready([function() for _ in range(times)]))
    return lambda: several() / times


def peer_seconds(peer: Peer, kind: str, repeats: int) -> float:
    """Seconds of one of PyTorch's calls."""
    return peer(kind, repeats=repeats)["seconds"] / repeats


def memory_mb(c: Config) -> float:
    """The peak so far."""
    if c.device == "cpu":
        return peak_mb()
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use", 0) / 1e6


def case(name: str, c: Config) -> None:
    """Times one size and prints its lines."""
    width, batch, size = (int(part) for part in name.split("x"))
    repeats = c.repeats or (20 if c.device == "gpu" else 4)
    config: dict[str, Any] = {"width": width, "batch": batch, "size": size, "ema": c.ema}
    if c.device == "gpu":
        config |= {"device": "cuda", "dtype": "bfloat16", "compile": "default"}
        config |= {"channels_last": True}
    elif c.compiled:
        config |= {"compile": "default"}
    worker = Path(__file__).parent / "peers" / "unet_worker.py"
    peer = Peer(worker, config) if c.peer else None
    with ThreadPoolExecutor(1) as pool:
        if peer is not None and c.device == "gpu":
            pool.map(peer, c.kinds)  # both sides compile at the same time
        mine = ours(width, batch, size, c)
    print(f"c = {width}, batch {batch}, {size}x{size}x4, {mine['flops'] / 1e9:.1f} GFLOPs forward")
    for kind in c.kinds:
        calls = {"ours": repeated(mine[kind], repeats)}
        if peer is not None:
            peer("reset_peak")
            calls["peer"] = partial(peer_seconds, peer, kind, repeats)
        reset_peak()
        timings = alternate(calls, rounds=c.rounds, warmup=2)
        line = f"  {kind:8}"
        if peer is not None:
            line += f"{compare(timings['ours'], timings['peer'])}  memory: peer "
            line += f"{peer(kind)['peak_mb']:.0f} MB, "
        else:
            line += f"ours {1e3 * timings['ours'].median:8.1f} ms  memory: "
        line += f"ours {memory_mb(c):.0f} MB  compile {mine['compile'][kind]:.1f} s"
        if kind == "step":
            line += f"  {batch / timings['ours'].median:.1f} images/s"
        peak = peak_flops(jax.devices()[0].device_kind)
        if peak is not None:
            work = mine["flops"] * (3 if kind == "step" else 1)
            line += f"  MFU {work / timings['ours'].median / peak:.1%}"
        print(line, flush=True)
    if peer is not None:
        peer.close()


def main(c: Config) -> None:
    """Times every case."""
    keep_freed_memory()  # as `TrainConfig.launch` does
    jax.config.update("jax_enable_compilation_cache", c.cache is not None)
    if c.cache is not None:
        eqd.enable_compile_cache(c.cache)
    if jax.default_backend() != c.device:
        raise SystemExit(
            f"--device {c.device} needs jax on it, and this jax runs on {jax.default_backend()}."
        )
    print(f"jax {jax.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    for name in c.cases or CASES[c.device]:
        case(name, c)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
