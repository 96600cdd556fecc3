"""How fast images are degraded, beside how fast a training step takes them.

    python benchmarks/degrade.py                        # 64-pixel squares, a tiny UNet, this CPU
    python benchmarks/degrade.py --sizes 256 --no-step  # the degradation alone

One thread degrades images; `data.batches` uses as many as there are cores. A step encodes both
images of each pair, takes the UNet's gradient and updates, and needs one pair for each example.
"""

import dataclasses
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from equildm import TextEmbedding
from equildm.data import DegradedBatch
from equildm.data.degrade import DEGRADATIONS, degraded
from equildm.denoise import preset, widen_input
from equildm.interop import load_vae
from equildm.noise import MinSNR, ScaledLinear, UniformTimes, Velocity
from equildm.training import (
    adamw,
    DecayEMA,
    DenoisingObjective,
    make_step,
    SuperResolution,
    TrainState,
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed."""

    sizes: tuple[int, ...] = (64,)
    """Sides of the original images."""
    scale: int = 4
    """Factor by which they are reduced."""
    preset: str = "tiny"
    """Size of the step's UNet."""
    batch: int = 8
    """Examples a step."""
    rounds: int = 5
    """Number of timings, of which the median counts."""
    step: bool = True
    """Whether to time the step too."""


def main(config: Config) -> None:
    rng = np.random.default_rng(0)
    for size in config.sizes:
        image = rng.integers(0, 256, (size, size, 3), np.uint8)
        for name, make in DEGRADATIONS.items():
            degradation = make(config.scale)
            seconds = []
            for number in range(config.rounds + 1):
                start = time.process_time()
                for i in range(32):
                    degraded(image, degradation, np.random.default_rng((number, i)))
                seconds.append((time.process_time() - start) / 32)
            rate = 1 / statistics.median(seconds[1:])
            print(f"{size:4d} pixels  {name:12s} {rate:8.0f} images/s of one core")
        if config.step:
            print(f"{size:4d} pixels  a step needs {step_rate(config, size):8.1f} images/s")


def step_rate(config: Config, size: int) -> float:
    """Examples a second of CPU time of a training step."""
    vae = load_vae()
    channels = vae.latent_channels
    unet = preset(
        config.preset, in_channels=channels, out_channels=channels, context_width=384
    ).build(key=jax.random.key(0))
    null = TextEmbedding(jnp.zeros((16, 384)), jnp.ones(16, bool))
    loss = DenoisingObjective(ScaledLinear(), Velocity(), MinSNR(), UniformTimes(), null)
    optimizer, ema = adamw(1e-4), DecayEMA()
    step = make_step(SuperResolution(loss, vae), optimizer, ema, key=jax.random.key(0))
    state = TrainState.create(widen_input(unet, channels), optimizer, ema)
    side = size // config.scale
    batch = DegradedBatch(
        jnp.zeros((config.batch, size, size, 3), jnp.uint8),
        jnp.zeros((config.batch, side, side, 3), jnp.uint8),
        jax.tree.map(lambda leaf: jnp.repeat(leaf[None], config.batch, 0), null),
    )
    seconds = []
    for _ in range(config.rounds + 1):
        start = time.process_time()
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        seconds.append(time.process_time() - start)
    return config.batch / statistics.median(seconds[1:])


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
