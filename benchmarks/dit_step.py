"""A transformer's forward pass, sampling and training step beside diffusers' DiT in PyTorch.

    EQUILDM_PEER_PYTHON=.venv-peers/bin/python python benchmarks/dit_step.py
    python benchmarks/dit_step.py --compiled          # beside torch.compile
    python benchmarks/dit_step.py --depth 4 --batch 2

Ours is `WidthScaledDiT` without attention to captions, of the same width, depth and heads as theirs
(`peers/dit_worker.py`). Each of its blocks embeds time and class by itself, so that it has
more parameters and the same work on tokens. Both are timed in turn, in one run.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro

from benchmarks._peer import compare_with, Peer
from equildm import TextEmbedding
from equildm.data import LatentBatch
from equildm.denoise import DiTConfig, Preconditioned
from equildm.noise import Epsilon, grids, ScaledLinear, Uniform, UniformTimes
from equildm.runtime import copied, count_parameters, InPrecision, Policy
from equildm.runtime.freed_memory import keep_freed_memory
from equildm.sampling import DDIM, sample
from equildm.training import adamw, DecayEMA, DenoisingObjective, make_step, TrainState


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    width: int = 384
    """Width of a token: DiT-S."""
    depth: int = 12
    """Number of blocks."""
    heads: int = 6
    """Attention heads."""
    batch: int = 4
    """Examples."""
    size: int = 32
    """Side of the latent."""
    sampling_steps: int = 10
    """Steps of DDIM."""
    device: Literal["cpu", "gpu"] = "cpu"
    """gpu means bfloat16 on both sides."""
    compiled: bool = False
    """Whether PyTorch is `torch.compile`d; by default it is eager."""
    scan: bool = True
    """Whether ours scans its blocks; written out, the step is faster and compiles for longer."""
    rounds: int = 5
    """Number of times that each is timed."""


def ours(c: Config) -> tuple[dict[str, Any], int]:
    """`forward`, `sample` and `step`, compiled, and the parameters."""
    policy = Policy("bfloat16" if c.device == "gpu" else "float32")
    config = DiTConfig(
        c.width, c.depth, c.heads, context_width=8, cross_attention=False, scan=c.scan
    )
    network = config.build(key=jax.random.key(0))
    noisy = jax.random.normal(jax.random.key(1), (c.batch, c.size, c.size, 4))
    null = TextEmbedding(jnp.zeros((1, 8)), jnp.ones(1, bool))
    text = jax.tree.map(lambda leaf: jnp.stack([leaf] * c.batch), null)
    times = jnp.linspace(0.0, 999.0, c.batch)
    levels = grids.trailing(ScaledLinear(), c.sampling_steps)

    @eqx.filter_jit
    def forward(network: Any) -> Any:
        return jax.vmap(InPrecision(network, policy))(noisy, times, text)

    @eqx.filter_jit
    def sampled(network: Any) -> Any:
        denoiser = Preconditioned(network, ScaledLinear(), Epsilon(), policy.compute)
        return jax.vmap(lambda x, text: sample(denoiser, x, levels, DDIM(), condition=text))(
            noisy, text
        )

    objective = DenoisingObjective(
        ScaledLinear(), Epsilon(), Uniform(), UniformTimes(), null, policy=policy
    )
    optimizer, ema = adamw(1e-4), DecayEMA(0.9999)
    step = make_step(objective, optimizer, ema, key=jax.random.key(2))
    state = [TrainState.create(copied(network), optimizer, ema)]
    batch = LatentBatch(noisy, text)

    def train() -> None:
        state[0], metrics = step(state[0], batch)
        jax.block_until_ready(metrics)

    calls = {
        "forward": lambda: jax.block_until_ready(forward(network)),
        "sample": lambda: jax.block_until_ready(sampled(network)),
        "step": train,
    }
    return calls, count_parameters(network)


def main(c: Config) -> None:
    keep_freed_memory()  # as `TrainConfig.launch` does
    calls, parameters = ours(c)
    sizes = {key: getattr(c, key) for key in ("width", "depth", "heads", "batch", "size")}
    kind = {"device": "cuda", "dtype": "bfloat16"} if c.device == "gpu" else {}
    kind |= {"compile": "default"} if c.compiled else {}
    config = {**sizes, "sampling_steps": c.sampling_steps, **kind}
    with Peer("benchmarks/peers/dit_worker.py", config) as peer:
        theirs = peer("parameters")
        print(f"{parameters / 1e6:.1f}M parameters, the peer {theirs['count'] / 1e6:.1f}M")
        print(f"jax {jax.__version__}, torch {theirs['torch']}, {jax.devices()[0].device_kind}")
        for name, call in calls.items():
            print(f"{name}: {compare_with(peer, name, call, rounds=c.rounds)}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
