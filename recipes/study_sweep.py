"""The scaling study's sweep: every point of the grid sampled and scored, once."""

import dataclasses
import functools
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import choices
import jax
import jax.numpy as jnp
import methods
import models
import networks
import numpy as np
from compare_samplers import evaluations
from judge import asked_of, data_config, usable
from pretrain import Config as Pretrain
from scores import RESIZES
from study_grid import Config, points

from equildm.data import AbstractSource, Crop, HeldPictures, open_source, split
from equildm.features import described, Resized
from equildm.interop import load_inception, load_minilm, load_vgg16
from equildm.noise import grids
from equildm.runtime import count_parameters, Progress, Run, save_png
from equildm.sample import TextToImage
from equildm.study import (
    Claims,
    evaluation_gflops,
    fit_reference,
    normalised_cost,
    Point,
    Reference,
    Row,
    RowFiles,
    Scorer,
    share_work,
)
from equildm.text import embed


def sweep(config: Config) -> None:
    """Samples and scores what of the grid is not done, together with any other processes."""
    grid = {point.name: (point, path) for point, path in points(config)}
    rows = RowFiles(config.folder / "rows")
    with Claims(config.folder / "claims", stale=config.stale) as claims:
        scorer = make_scorer(config, claims)
        studio = Studio(config, rows, scorer)
        work = {name: studio.work(point, path) for name, (point, path) in grid.items()}
        total = sum(work.values())

        def done() -> int:
            return sum(work[name] for name in rows.names() & set(work))

        with Progress(total, start=done(), label="sweeping", unit="GFLOP") as progress:
            share_work(
                list(grid),
                claims=claims,
                is_done=rows.__contains__,
                begin=lambda name: studio.begin(*grid[name]),
                progress=lambda: progress.update(done(), points=len(rows.names() & set(work))),
            )


class Studio:
    """Makes pictures of points and rows of pictures."""

    def __init__(self, config: Config, rows: RowFiles, scorer: Scorer):
        self._config, self._rows, self._scorer = config, rows, scorer
        self._longest = max(*config.steps, *config.student_steps, config.reference[1]) + 1
        self._warm: set[tuple] = set()
        self._queued: Any = ()
        # What one network after another has in common is loaded once.
        self._run = functools.lru_cache(maxsize=1)(self._open)
        self._make = functools.lru_cache(maxsize=1)(self._load)

    def work(self, point: Point, path: Path) -> int:
        """Operations of a point's network, in units of 1e9."""
        each = _facts(path)["gflops"] * _evaluations(point.sampler, point.steps)
        return max(1, round(self._config.count * each * _branches(path, point.guidance)))

    def begin(self, point: Point, path: Path) -> Callable[[], None]:
        """Samples a point and queues its features; what is returned scores them."""
        config = self._config
        _, model, given, null, _ = self._run(path)
        make = self._make(path, point.train_step)
        solver = choices.solver(point.sampler)
        batch = -(-config.count // -(-config.count // config.batch))  # as even as can be
        weights = jnp.full(batch, point.guidance, jnp.float32)

        def queue(steps: int, index: np.ndarray) -> jax.Array:
            levels = grids.trailing(choices.SCHEDULES[model.schedule], steps)
            return make.queue(
                jax.tree.map(lambda leaf: leaf[index], given),
                null,
                weights,
                levels=grids.pad(levels, self._longest),
                seed=point.seed,
                seeds=index,
                solver=solver,
            )

        # The last batch is filled up, so that every batch has the shape that was compiled.
        indices = [
            np.minimum(np.arange(start, start + batch), config.count - 1)
            for start in range(0, config.count, batch)
        ]
        compiled = (model, point.sampler)
        if compiled not in self._warm:
            jax.block_until_ready(self._scorer.on_device(queue(1, indices[0])))
            self._warm.add(compiled)
        jax.block_until_ready(self._queued)
        began = time.perf_counter()
        first = jax.block_until_ready(queue(point.steps, indices[0]))
        seconds = (time.perf_counter() - began) / batch
        found = [self._scorer.on_device(first)]
        found += [self._scorer.on_device(queue(point.steps, index)) for index in indices[1:]]
        shown = [pictures for pictures, _, _ in found[: -(-config.pictures // batch)]]
        self._queued = features = [rest for _, *rest in found]
        del found
        facts = _facts(path)

        def finish() -> None:
            match, fid = (
                np.concatenate([np.asarray(part[i]) for part in features])[: config.count]
                for i in (0, 1)
            )
            scores = self._scorer.scores(match, fid)
            if config.pictures:
                kept = np.concatenate([np.asarray(images) for images in shown])
                strip = np.concatenate(kept[: min(config.pictures, config.count)], axis=1)
                save_png(config.folder / "pictures" / f"{point.name}.png", strip)
            self._rows.write(
                Row(
                    **dataclasses.asdict(point),
                    **dataclasses.asdict(scores),
                    **facts,
                    evaluations=_evaluations(point.sampler, point.steps),
                    branches=_branches(path, point.guidance),
                    seconds=seconds,
                    device=jax.devices()[0].device_kind,
                )
            )

        return finish

    def _open(self, path: Path) -> tuple:
        run = Run.open(path)
        model = models.load_model(run)
        make = models.pipeline(run, model, None)
        given = embed(make.text, list(self._scorer.captions))
        null = jax.tree.map(lambda leaf: leaf[0], embed(make.text, [""]))
        return run, model, given, null, make

    def _load(self, path: Path, step: int) -> TextToImage:
        run, model, _, _, make = self._run(path)
        network, _ = networks.load_network(run, model, step=step)
        return dataclasses.replace(make, denoiser=model.denoiser(network))


@functools.cache
def _facts(path: Path) -> dict[str, Any]:
    """What all rows of a run have in common."""
    run = Run.open(path)
    model = models.load_model(run)
    trained = run.load_config(methods.Config if model.distilled else Pretrain)
    return {
        "width": model.unet.width,
        "parameters": count_parameters(model.abstract()),
        "batch": trained.batch_size,
        "method": trained.method if isinstance(trained, methods.Config) else "",
        "cost": normalised_cost(model.unet.width),
        "gflops": evaluation_gflops(model.unet, model.latent_shape[0], model.caption_length),
    }


@functools.cache
def _branches(path: Path, guidance: float) -> int:
    told = models.load_model(Run.open(path)).unet.guidance_width is not None
    return 1 if told or guidance in (0.0, 1.0) else 2


@functools.cache
def _evaluations(sampler: str, steps: int) -> int:
    """Of one branch: linear in the steps."""
    few, more = (_counted(sampler, n) for n in (4, 5))
    return few + (more - few) * (steps - 4)


@functools.cache
def _counted(sampler: str, steps: int) -> int:
    return evaluations(sampler, grids.trailing(choices.SCHEDULES["scaled-linear"], steps))


def make_scorer(config: Config, claims: Claims) -> Scorer:
    """The scorer of the study's captions, with a reference that is made by one process, once."""
    first = Run.open(config.folders()[0])
    trained, model = data_config(first), models.load_model(first)
    source = open_source(trained.data)
    pictures = HeldPictures(source)  # each is looked at before it is used
    training, held_out = split(pictures, trained.held_out)
    asked = asked_of(config.split, training, held_out)
    vgg, extractor = load_vgg16(), None
    if config.inception is not None:
        extractor = Resized(load_inception(config.inception), RESIZES[config.resize]())
    network = described(extractor or vgg)

    def about(number: int) -> str:
        return f"{number} real pictures of {trained.data}, {model.size} pixels, {network}"

    number = min(config.real, len(source))
    key = repr((source.fingerprint, trained.held_out, model.caption_length, about(number)))
    path = config.folder / f"reference-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"

    def make() -> None:
        crop = Crop(model.size)
        chosen = shuffled(pictures, config.real, seed=0)
        fitted = sorted(shuffled(training, config.real, seed=1))
        fit_reference(
            about(len(chosen)),
            (crop(pictures.image(i)) for i in sorted(chosen)),
            (crop(training.image(i)) for i in fitted),
            [training.caption(i) for i in fitted],
            [held_out.caption(i) for i in range(len(held_out))],
            vgg=vgg,
            text=load_minilm(length=model.caption_length),
            extractor=extractor,
        ).save(path)

    if not path.exists():
        print("Features of the real pictures, once for this study.", flush=True)
    share_work(
        [path.name],
        claims=claims,
        is_done=lambda name: (config.folder / name).exists(),
        begin=lambda name: make(),
    )
    chosen = shuffled(asked, config.count, seed=0)
    captions = [asked.caption(chosen[i % len(chosen)]) for i in range(config.count)]
    return Scorer(
        Reference.load(path), vgg, captions, extractor=extractor, groups=config.groups, seed=0
    )


def shuffled(source: AbstractSource, count: int, seed: int) -> list[int]:
    """So many usable samples, drawn at random, or all."""
    return usable(source, np.random.default_rng(seed).permutation(len(source)), count)
