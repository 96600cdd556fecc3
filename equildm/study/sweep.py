"""The sweep: every point of the grid sampled and scored, once."""

import dataclasses
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import TextEmbedding
from ..noise import grids
from ..pipeline import TextToImage
from ..pretrained import load_pretrained
from ..runtime import Locks, Progress
from ..sampling import make_solver
from ..text import embed
from .config import SampleSetConfig, StudyConfig
from .evaluations import evaluations_in
from .folder import StudyFolder
from .forecast import SweepForecast
from .grid import points
from .queue import Finish, share_work
from .runs import StudyRun
from .scoring import Scorer
from .shared_scorer import shared_scorer
from .table import Point, Row


class Sweep:
    """Samples points, and makes rows of them: one point is scored while the next is sampled.

    One program is compiled for each model and sampler.
    """

    def __init__(
        self, folder: StudyFolder, scorer: Scorer, samples: SampleSetConfig, most_steps: int
    ):
        """**Arguments:**

        - `folder`: where rows and images go.
        - `scorer`: of the images.
        - `samples`: how many images, and how many at a time.
        - `most_steps`: the most sampling steps of any point. Shorter grids are padded to it.
        """
        self._folder, self._scorer, self._samples = folder, scorer, samples
        self.preparing = 0.0
        """Seconds that the newest point took for its weights and its program."""
        self._rows, self._levels = folder.rows(), most_steps + 1
        self._compiled: set[tuple[str, str]] = set()
        self._queued: list[tuple[Array, Array]] = []
        self._opened: tuple[str, int] | None = None
        self._text_to_image: TextToImage | None = None
        self._captions: tuple[TextEmbedding, TextEmbedding] | None = None

    def work(self, point: Point, run: StudyRun) -> int:
        """Operations of the network for a point, in units of 1e9."""
        each = run.gflops * evaluations_in(point.sampler, point.steps, run.trailing)
        return max(1, round(self._samples.count * each * run.network.branches(point.guidance)))

    def begin(self, point: Point, run: StudyRun) -> Finish:
        """Samples a point and queues its features; the function that it returns scores them."""
        samples, scorer = self._samples, self._scorer
        batches, start = self._batches(), time.perf_counter()
        self._open(run, point.train_step)  # outside of what is timed
        if (run.name, point.sampler) not in self._compiled:
            one_step = dataclasses.replace(point, steps=1)
            jax.block_until_ready(scorer.on_device(self._sample(one_step, run, batches[0])))
            self._compiled.add((run.name, point.sampler))
            self.preparing = time.perf_counter() - start
        else:
            self.preparing = 0.0
        jax.block_until_ready(self._queued)
        began = time.perf_counter()
        first = jax.block_until_ready(self._sample(point, run, batches[0]))
        seconds = (time.perf_counter() - began) / len(batches[0])
        scored = [scorer.on_device(first)]
        scored += [scorer.on_device(self._sample(point, run, index)) for index in batches[1:]]
        shown = [pixels for pixels, _, _ in scored[: -(-samples.images // len(batches[0]))]]
        self._queued = features = [(match, fid) for _, match, fid in scored]

        def finish() -> None:
            match, fid = (
                np.concatenate([np.asarray(part) for part in parts])[: samples.count]
                for parts in zip(*features)
            )
            scores = scorer.scores(match, fid)
            if samples.images:
                images = np.concatenate([np.asarray(pixels) for pixels in shown])
                count = min(samples.images, samples.count)
                self._folder.save_images(point, images[:count])
            self._rows.write(
                Row(
                    **dataclasses.asdict(point),
                    **dataclasses.asdict(scores),
                    **run.size._asdict(),
                    parameters=run.parameters,
                    batch=run.batch_size,
                    method=run.method,
                    cost=run.cost,
                    gflops=run.gflops,
                    evaluations=evaluations_in(point.sampler, point.steps, run.trailing),
                    branches=run.network.branches(point.guidance),
                    seconds=seconds,
                    device=jax.devices()[0].device_kind,
                )
            )

        return finish

    def _batches(self) -> list[Int[np.ndarray, "batch"]]:
        """The numbers of the images, in batches that are as even as can be.

        The last batch is filled up, so that every batch has the shape that was compiled.
        """
        count = self._samples.count
        batch = -(-count // -(-count // self._samples.batch_size))
        starts = range(0, count, batch)
        return [np.minimum(np.arange(start, start + batch), count - 1) for start in starts]

    def _sample(
        self, point: Point, run: StudyRun, index: Int[np.ndarray, "batch"]
    ) -> Float[Array, "batch height width 3"]:
        """Queues the images of these numbers."""
        text_to_image, (conditions, null) = self._open(run, point.train_step)
        levels = text_to_image.model.levels(point.steps, grid="trailing")
        return text_to_image.dispatch(
            jax.tree.map(lambda leaf: leaf[index], conditions),
            null,
            jnp.full(len(index), point.guidance, jnp.float32),
            levels=grids.pad(levels, self._levels),
            seed=point.seed,
            seeds=index,
            solver=make_solver(point.sampler),
        )

    def _open(
        self, run: StudyRun, step: int
    ) -> tuple[TextToImage, tuple[TextEmbedding, TextEmbedding]]:
        """A checkpoint, and the captions and the empty one as its text encoder embeds them.

        What consecutive points have in common is loaded once.
        """
        if self._opened is None or self._opened[0] != run.name:
            self._captions = None
        if self._opened != (run.name, step) or self._text_to_image is None:
            self._text_to_image = None  # its memory is free before the next one is read
            self._text_to_image = TextToImage(load_pretrained(run.run.path, step=step))
            self._opened = run.name, step
        if self._captions is None:
            text_encoder = self._text_to_image.model.text_encoder
            captions = embed(text_encoder, list(self._scorer.captions))
            self._captions = captions, text_encoder.null()
        return self._text_to_image, self._captions


def sweep(folder: StudyFolder, runs: Sequence[StudyRun], config: StudyConfig, locks: Locks) -> None:
    """Samples and scores the points of the grid that are not done, together with other processes.

    **Arguments:**

    - `folder`: of the study.
    - `runs`: the models, see `open_runs`.
    - `config`: grid and scores.
    - `locks`: of this process, entered.
    """
    grid = {point.name: (point, run) for point, run in points(runs, config.grid)}
    scorer = shared_scorer(folder, runs[0], config.samples, locks)
    sampled = Sweep(folder, scorer, config.samples, config.grid.most_steps)
    if config.samples.images:
        folder.save_captions(scorer.captions[: config.samples.images])
    work = {name: sampled.work(point, run) for name, (point, run) in grid.items()}
    total, rows = sum(work.values()), folder.rows()

    def done() -> int:
        return sum(work[name] for name in rows.names() & set(work))

    programs = {name: (run.name, point.sampler) for name, (point, run) in grid.items()}
    forecast = SweepForecast(work, programs)

    def begin(name: str) -> Finish:
        forecast.begin(name)
        finish = sampled.begin(*grid[name])
        if sampled.preparing:
            forecast.compiled(sampled.preparing)
        return finish

    def left() -> float | None:
        return forecast.left(rows.names(), 1 + locks.others())

    with Progress(total, start=done(), label="sweeping", unit="GFLOP", forecast=left) as progress:
        share_work(
            list(grid),
            locks=locks,
            is_done=rows.__contains__,
            begin=begin,
            progress=lambda: progress.update(done(), points=len(rows.names() & set(work))),
        )
