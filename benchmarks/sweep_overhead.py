"""What a study's sweep costs beside bare sampling.

    python benchmarks/sweep_overhead.py                                  # c = 64, 16x16 latents
    python benchmarks/sweep_overhead.py --width 64 --side 64 --count 512 --batch 64      # a GPU

Bare sampling is the compiled sampler and decoder, batch after batch. The sweep is the same with all
that `recipes/scaling_study.py` adds: claims, features of every picture (VGG16), FID with its
intervals, caption match, kept pictures, rows on disk. Both make the same number of points one
after the other, in turns, the first of each not timed. Weights are random. Metric time is what
features and scores take by themselves.
"""

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks._peer import alternate
from equildm.denoise import Preconditioned, preset
from equildm.interop import load_minilm, load_vae, load_vgg16, shipped_vae
from equildm.metrics import CaptionMatcher, FeatureStatistics
from equildm.metrics.caption_match import TAPS
from equildm.noise import grids, ScaledLinear, Velocity
from equildm.sample import DDIM, TextToImage
from equildm.study import Claims, Reference, Row, RowFiles, Scorer, share_work
from equildm.text import embed


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed."""

    width: int = 64
    """Base channels of the UNet."""
    side: int = 16
    """Of the latents; pictures are four times as wide."""
    steps: int = 16
    """Of DDIM, guided."""
    count: int = 16
    """Pictures of a point."""
    batch: int = 8
    """Pictures at a time."""
    points: int = 2
    """Of a round."""
    rounds: int = 3
    """How often each is timed."""


def a_reference(captions: list[str], vgg: Any, text: Any) -> Reference:
    """Of random features: scores take the same time whatever they are."""
    random = np.random.default_rng(0)
    real = np.abs(random.normal(size=(2000, vgg.channels[-1])))
    size = sum(vgg.channels[tap] for tap in TAPS)
    matcher = CaptionMatcher(
        vgg,
        text,
        np.zeros(size),
        np.ones(size),
        random.normal(size=(size, text.width)),
        np.zeros(text.width),
    )
    statistics = FeatureStatistics.of(vgg.name, real)
    return Reference.of("random numbers", statistics, matcher, captions)


def main(c: Config) -> None:
    """Times both."""
    schedule = ScaledLinear()
    text, vgg = load_minilm(), load_vgg16()
    vae, vae_config = load_vae(shipped_vae())
    channels = vae_config.latent_channels
    sizes = {"in_channels": channels, "out_channels": channels, "context_width": text.width}
    network = preset(c.width, **sizes).build(key=jax.random.key(0))
    denoiser = Preconditioned(network, schedule, Velocity())
    make = TextToImage(denoiser, vae, text, (c.side, c.side, channels))

    captions = [f"caption {i}" for i in range(c.count)]
    given, (null,) = embed(text, captions), [embed(text, [""])]
    null = jax.tree.map(lambda leaf: leaf[0], null)
    scorer = Scorer(a_reference([f"caption {i}" for i in range(2000)], vgg, text), vgg, captions)
    levels = grids.trailing(schedule, c.steps)
    weights = jnp.full(c.batch, 3.0, jnp.float32)
    batches = [np.arange(start, start + c.batch) for start in range(0, c.count, c.batch)]

    def queue(index: np.ndarray) -> jax.Array:
        rows = jax.tree.map(lambda leaf: leaf[index], given)
        return make.queue(rows, null, weights, levels=levels, seed=0, seeds=index, solver=DDIM())

    def bare() -> float:
        began = time.perf_counter()
        for _ in range(c.points):
            jax.block_until_ready([queue(index) for index in batches])
        return time.perf_counter() - began

    def sweep() -> float:
        with tempfile.TemporaryDirectory() as folder, Claims(f"{folder}/claims") as claims:
            rows = RowFiles(f"{folder}/rows")

            def begin(unit: str) -> Any:
                found = [scorer.on_device(queue(index))[1:] for index in batches]
                jax.block_until_ready(found)

                def finish() -> None:
                    scores = scorer.scores(
                        *(np.concatenate([np.asarray(part[i]) for part in found]) for i in (0, 1))
                    )
                    rows.write(row(scores, int(unit[5:13]), c))

                return finish

            names = [row(None, i, c).point.name for i in range(c.points)]
            began = time.perf_counter()
            share_work(names, claims=claims, is_done=rows.__contains__, begin=begin)
            return time.perf_counter() - began

    pictures = jax.block_until_ready([queue(index) for index in batches])

    def metrics() -> float:
        began = time.perf_counter()
        for _ in range(c.points):
            found = [scorer.on_device(images)[1:] for images in pictures]
            scorer.scores(*(np.concatenate([np.asarray(p[i]) for p in found]) for i in (0, 1)))
        return time.perf_counter() - began

    for call in (bare, sweep, metrics):
        call()
    timings = alternate({"bare": bare, "sweep": sweep, "metrics": metrics}, rounds=c.rounds)
    seconds = {name: np.array(timing.seconds) for name, timing in timings.items()}
    made = c.points * c.count
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    print(
        f"c = {c.width}, {c.side}x{c.side}x{channels}, {c.steps} guided steps, {c.count} pictures"
    )
    print(f"  bare sampling {made / np.median(seconds['bare']):8.3g} pictures/s")
    print(f"  sweep         {made / np.median(seconds['sweep']):8.3g} pictures/s")
    print(f"  sweep over bare, time     {np.median(seconds['sweep'] / seconds['bare']):.3f}")
    print(f"  metric time over sampling {np.median(seconds['metrics'] / seconds['bare']):.3f}")


def row(scores: Any, number: int, c: Config) -> Row:
    """A row of that number."""
    nothing = {"score": "", "fid": 0.0, "fid_spread": (), "count": c.count, "reference": ""}
    nothing |= {"match": 0.0, "match_low": 0.0, "match_high": 0.0}
    return Row(
        run="c064",
        train_step=number,
        sampler="ddim",
        steps=c.steps,
        guidance=3.0,
        width=c.width,
        parameters=0,
        batch=0,
        cost=0.0,
        evaluations=c.steps,
        branches=2,
        gflops=0.0,
        seconds=0.0,
        device="",
        **(nothing if scores is None else dataclasses.asdict(scores)),
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
