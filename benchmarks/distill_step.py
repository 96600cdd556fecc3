"""A distillation step beside a pretraining step, and what its network evaluations imply.

    python benchmarks/distill_step.py                      # c = 32, batch 8, 16x16, this CPU
    python benchmarks/distill_step.py --case 128x16x64 --compute bfloat16 --repeats 10   # a GPU

Both are steps that train: `make_step` with noise, loss, clipping, AdamW and one average. A method
adds evaluations of the network without gradient: its teacher's, two for each where guided, and its
target's. The implied time is that of the pretraining step and so many forward passes, timed by
themselves; the last column is the measured time over the implied time.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float

from benchmarks._peer import alternate, timed
from equildm import Network, TextEmbedding
from equildm.data import LatentBatch
from equildm.denoise import GuidanceConditioned, Preconditioned, WidthScaledUNet
from equildm.distill import (
    CM,
    CoDi,
    embedded_guidance,
    GuidedDistillation,
    iCT,
    inherited_guidance,
    LCM,
    ProgressiveDistillation,
    Student,
)
from equildm.noise import grids, MinSNR, ScaledLinear, UniformTimes, Velocity
from equildm.runtime import copied, InPrecision, Policy
from equildm.training import (
    AbstractMovingObjective,
    AbstractObjective,
    adamw,
    DecayEMA,
    DenoisingObjective,
    make_step,
    TrainState,
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed."""

    case: str = "32x8x16"
    """WIDTHxBATCHxSIZE of the latents, of 4 channels."""
    methods: tuple[str, ...] = ("codi", "lcm", "cm", "ict", "guided", "progressive", "stage-two")
    """Methods to time."""
    compute: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the networks."""
    rounds: int = 9
    """Number of rounds; in each, every method is timed once."""
    repeats: int = 1
    """Calls in a round: 1 on a CPU, several on a GPU."""


EVALUATIONS = {
    "codi": 2,  # teacher, target
    "lcm": 3,  # teacher with and without the caption, target
    "cm": 3,  # Heun's two, target
    "ict": 1,  # target
    "guided": 2,  # teacher with and without the caption
    "progressive": 2,  # two steps of the teacher
    "stage-two": 2,
}
"""Evaluations of the network without gradient, in addition to the student's own."""


def objectives(
    network: WidthScaledUNet, null: TextEmbedding, policy: Policy
) -> dict[str, AbstractObjective | AbstractMovingObjective]:
    """Each method by name, with `network` as its teacher."""
    schedule = ScaledLinear()
    student = Student(schedule, Velocity(), policy)
    teacher = Preconditioned(InPrecision(network, policy), schedule, Velocity())
    conditioned = InPrecision(GuidanceConditioned(network), policy)
    levels = jnp.asarray(grids.trailing(schedule, 16), jnp.float32)
    common = (student, null, schedule, teacher)
    return {
        "codi": CoDi(*common),
        "lcm": LCM(*common),
        "cm": CM(*common),
        "ict": iCT(student, null, schedule, 1000),
        "guided": GuidedDistillation(student, null, schedule, teacher, embedded_guidance(1.0, 6.0)),
        "progressive": ProgressiveDistillation(student, null, teacher, levels),
        "stage-two": ProgressiveDistillation(
            student,
            null,
            Preconditioned(conditioned, schedule, Velocity()),
            levels,
            inherited_guidance(1.0, 6.0),
        ),
    }


def step_timer(
    objective: AbstractObjective | AbstractMovingObjective,
    model: Network,
    batch: LatentBatch,
    repeats: int,
) -> Callable[[], float]:
    """Measures the seconds of a training step, as the mean of `repeats`; compiles it before."""
    optimizer, ema = adamw(1e-5), DecayEMA(0.95)
    step = make_step(objective, optimizer, ema, key=jax.random.key(3))
    state = TrainState.create(copied(model), optimizer, ema)

    def several() -> None:
        nonlocal state
        for _ in range(repeats):
            state, _ = step(state, batch)
        jax.block_until_ready(state)

    start = time.perf_counter()
    several()
    print(f"  compiled in {time.perf_counter() - start:.0f} s", flush=True)
    call = timed(several)
    return lambda: call() / repeats


def main(c: Config) -> None:
    """Times every method."""
    width, size, side = (int(part) for part in c.case.split("x"))
    policy = Policy(c.compute)
    network = WidthScaledUNet(width, key=jax.random.key(0))
    conditioned = GuidanceConditioned(network)
    tokens = jax.random.normal(jax.random.key(2), (size, 77, 1024))
    text = TextEmbedding(tokens, jnp.ones((size, 77), bool))
    null = jax.tree.map(lambda leaf: leaf[0], text)
    batch = LatentBatch(jax.random.normal(jax.random.key(1), (size, side, side, 4)), text)
    times = jnp.linspace(0.0, 999.0, size)

    pretraining = DenoisingObjective(
        ScaledLinear(), Velocity(), MinSNR(), UniformTimes(), null, policy=policy
    )

    @eqx.filter_jit
    def forward(
        network: Network, batch: LatentBatch
    ) -> Float[Array, "batch height width channels"]:
        return jax.vmap(InPrecision(network, policy))(batch.latents, times, batch.text)

    runs = timed(lambda: jax.block_until_ready([forward(network, batch) for _ in range(c.repeats)]))
    calls = {
        "forward": lambda: runs() / c.repeats,
        "pretraining": step_timer(pretraining, network, batch, c.repeats),
    }
    for name, objective in objectives(network, null, policy).items():
        if name in c.methods:
            print(f"{name}", end="", flush=True)
            model = conditioned if name in ("lcm", "guided", "stage-two") else network
            calls[name] = step_timer(objective, model, batch, c.repeats)
    timings = alternate(calls, rounds=c.rounds)

    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    print(f"c = {width}, batch {size}, {side}x{side}x4")
    baseline, forward_time = (
        np.array(timings[name].seconds) for name in ("pretraining", "forward")
    )
    milliseconds = [1e3 * np.median(times) for times in (forward_time, baseline)]
    print("  forward {:.0f} ms, pretraining {:.0f} ms".format(*milliseconds))
    print("  method       evaluations      ms  / pretraining  implied  time / implied")
    for name in calls:
        if name in EVALUATIONS:
            extra, seconds = EVALUATIONS[name], np.array(timings[name].seconds)
            implied = 1 + extra * np.median(forward_time) / np.median(baseline)
            ratio = np.median(seconds / baseline)
            print(
                f"  {name:12} 1 + {extra:<7} {1e3 * np.median(seconds):8.0f}  {ratio:13.2f}  "
                f"{implied:7.2f}  {np.median(seconds / (baseline + extra * forward_time)):14.2f}"
            )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
