"""What a study's sweep costs beside bare sampling.

    python benchmarks/sweep_overhead.py                                  # c = 64, 16x16 latents
    python benchmarks/sweep_overhead.py --width 64 --side 64 --count 512 --batch 64      # a GPU

Bare sampling is the compiled sampler and decoder, batch after batch. The sweep is the same with all
that `recipes/scaling_study.py` adds: locks, features of every image (VGG16), FID with its
intervals, caption match, rows on disk. Both make the same number of points one after the other, in
turns, the first of each not timed. Weights are random. Metric time is what features and scores take
by themselves.
"""

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks._peer import alternate
from equildm.features import VGG16
from equildm.interop import load_minilm, load_vae, load_vgg16
from equildm.metrics import CaptionMatcher, FeatureStatistics
from equildm.metrics.caption_match import TAPS
from equildm.noise import NoiseConfig
from equildm.pipeline import backbone_for, new_model, TextToImage
from equildm.runtime import Locks, make_mesh
from equildm.study import Reference, Row, RowFiles, Scorer, Scores, share_work
from equildm.text import AbstractTextEncoder, embed


@dataclasses.dataclass(frozen=True)
class Config:
    """What is timed."""

    width: int = 64
    """Base channels of the UNet."""
    side: int = 16
    """Side of the latents; images are four times as wide."""
    steps: int = 16
    """Steps of DDIM, with guidance."""
    count: int = 16
    """Images of a point."""
    batch: int = 8
    """Images at a time."""
    points: int = 2
    """Points of a round."""
    rounds: int = 3
    """How often each is timed."""


def random_reference(
    captions: list[str], vgg: VGG16, text: AbstractTextEncoder, side: int
) -> Reference:
    """A reference of random features: scores take the same time whatever they are."""
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
    statistics = FeatureStatistics.of(f"{vgg.name}, {side} pixels", real)
    return Reference.of("random numbers", statistics, matcher, captions)


def main(c: Config) -> None:
    """Times both."""
    text, vgg, vae = load_minilm(), load_vgg16(), load_vae()
    model = new_model(
        backbone_for("unet", c.width, vae, text),
        vae,
        text,
        image_size=c.side * vae.factor,
        noise=NoiseConfig(),
        mesh=make_mesh(""),
    )
    text_to_image = TextToImage(model)

    captions = [f"caption {i}" for i in range(c.count)]
    conditions, null = embed(text, captions), text.null()
    reference = random_reference(
        [f"caption {i}" for i in range(2000)], vgg, text, c.side * vae.factor
    )
    scorer = Scorer(reference, vgg, captions)
    levels = model.levels(c.steps)
    scales = jnp.full(c.batch, 3.0, jnp.float32)
    batches = [np.arange(start, start + c.batch) for start in range(0, c.count, c.batch)]

    def queue(index: np.ndarray) -> jax.Array:
        batch = jax.tree.map(lambda leaf: leaf[index], conditions)
        return text_to_image.dispatch(
            batch, null, scales, levels=levels, seed=0, seeds=index, solver="ddim"
        )

    def scores_of(features: list[tuple[jax.Array, jax.Array]]) -> Scores:
        match, fid = (np.concatenate([np.asarray(x) for x in parts]) for parts in zip(*features))
        return scorer.scores(match, fid)

    def bare() -> float:
        began = time.perf_counter()
        for _ in range(c.points):
            jax.block_until_ready([queue(index) for index in batches])
        return time.perf_counter() - began

    def sweep() -> float:
        with tempfile.TemporaryDirectory() as folder, Locks(f"{folder}/locks") as locks:
            rows = RowFiles(f"{folder}/rows")

            def begin(unit: str) -> Callable[[], None]:
                features = [scorer.on_device(queue(index))[1:] for index in batches]
                jax.block_until_ready(features)
                return lambda: rows.write(row(scores_of(features), int(unit[5:13]), c))

            names = [row(None, i, c).point.name for i in range(c.points)]
            began = time.perf_counter()
            share_work(names, locks=locks, is_done=rows.__contains__, begin=begin)
            return time.perf_counter() - began

    images = jax.block_until_ready([queue(index) for index in batches])

    def metrics() -> float:
        began = time.perf_counter()
        for _ in range(c.points):
            scores_of([scorer.on_device(batch)[1:] for batch in images])
        return time.perf_counter() - began

    for call in (bare, sweep, metrics):
        call()
    timings = alternate({"bare": bare, "sweep": sweep, "metrics": metrics}, rounds=c.rounds)
    seconds = {name: np.array(timing.seconds) for name, timing in timings.items()}
    count = c.points * c.count
    size = f"{c.side}x{c.side}x{vae.latent_channels}"
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    print(f"c = {c.width}, {size}, {c.steps} guided steps, {c.count} images")
    print(f"  bare sampling {count / np.median(seconds['bare']):8.3g} images/s")
    print(f"  sweep         {count / np.median(seconds['sweep']):8.3g} images/s")
    print(f"  sweep over bare, time     {np.median(seconds['sweep'] / seconds['bare']):.3f}")
    print(f"  metric time over sampling {np.median(seconds['metrics'] / seconds['bare']):.3f}")


def row(scores: Scores | None, number: int, c: Config) -> Row:
    """A row of that number."""
    scores = scores or Scores("", 0.0, (), 0.0, 0.0, 0.0, c.count, "")
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
        **dataclasses.asdict(scores),
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
