"""Sampling and scoring the ladder: the points of the study's grid, the most telling first."""

import dataclasses
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equildm import TextToImage
from equildm.denoise import AbstractBackboneConfig
from equildm.metrics import kernel_distance
from equildm.noise import grids
from equildm.pipeline import LatentDiffusion
from equildm.runtime import count_parameters, Policy
from equildm.sampling import make_solver
from equildm.study import (
    evaluation_gflops,
    evaluations_in,
    model_size,
    normalised_cost,
    Point,
    Row,
    Scorer,
    StudyFolder,
)
from equildm.text import AbstractTextEncoder, embed

STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 32, 40, 50)
GUIDANCE = (1.5, 2.0, 3.0)
SHOWN = 10
"""Images of each point that are saved."""


def ways(last: bool) -> Iterator[tuple[int, str, tuple[int, ...], tuple[float, ...]]]:
    """The parts of the grid of a checkpoint: priority, sampler, steps, guidance scales."""
    few = tuple(steps for steps in STEPS if steps <= 20)
    if last:
        yield 0, "ddim", STEPS, (1.0,)
        yield 1, "dpm++2m", few, (1.0,)
        yield 3, "ddim", STEPS, GUIDANCE
        yield 4, "dpm++2m", few, GUIDANCE
        yield 5, "ddpm", STEPS, (1.0, 1.5)
    else:
        yield 2, "ddim", STEPS, (1.0,)
        yield 6, "ddim", STEPS, GUIDANCE[:1]


def backbone_of(model: LatentDiffusion) -> AbstractBackboneConfig:
    """The sizes of a model's network."""
    sizes = model.config.network.backbone
    assert isinstance(sizes, AbstractBackboneConfig)
    return sizes


def evaluation_of(model: LatentDiffusion) -> float:
    """GFLOP of one evaluation of a model's network on its own latents."""
    sizes, config = backbone_of(model), model.config
    return evaluation_gflops(sizes, config.latent_shape[0], config.max_tokens)


def evaluations_of(model: LatentDiffusion, point: Point) -> int:
    """Evaluations of the denoiser in an image of a point."""
    return evaluations_in(point.sampler, point.steps, partial(grids.trailing, model.schedule))


def price_of(model: LatentDiffusion, point: Point) -> float:
    """GFLOP of an image of a point, guidance counted twice."""
    return (
        evaluation_of(model)
        * evaluations_of(model, point)
        * backbone_of(model).branches(point.guidance)
    )


class Sweep:
    """Samples points on the device, while threads score those before."""

    def __init__(
        self,
        folder: StudyFolder,
        text_encoder: AbstractTextEncoder,
        scorer: Scorer,
        real: Float[np.ndarray, "images f"],
    ):
        """**Arguments:**

        - `folder`: where rows and images go.
        - `text_encoder`: of the scorer's captions.
        - `scorer`: of as many images as a point has.
        - `real`: features of real images, for the kernel distance.
        """
        self._folder, self._scorer, self._real = folder, scorer, real
        self._compute = Policy.default().compute
        self._rows = folder.rows()
        distinct = tuple(dict.fromkeys(scorer.captions))
        number = np.array([distinct.index(caption) for caption in scorer.captions])
        embeddings = embed(text_encoder, distinct)
        self._conditions = jax.tree.map(lambda leaf: jnp.asarray(leaf[number]), embeddings)
        self._null = text_encoder.null()
        self._threads = ThreadPoolExecutor(12)
        self._pending: list[Future[None]] = []

    def is_done(self, point: Point) -> bool:
        """Whether the row is written."""
        return point.name in self._rows

    def sample(self, model: LatentDiffusion, point: Point) -> Float[Array, "images height width 3"]:
        """The images of a point, in one batch, on the device."""
        count = len(self._scorer.captions)
        levels = model.levels(point.steps, grid="trailing")
        return TextToImage(model, compute=self._compute).dispatch(
            self._conditions,
            self._null,
            jnp.full(count, point.guidance, jnp.float32),
            levels=grids.pad(levels, max(STEPS) + 1),
            seed=point.seed,
            seeds=np.arange(count),
            solver=make_solver(point.sampler),
        )

    def run(
        self, model: LatentDiffusion, point: Point, batch_size: int, *, method: str = ""
    ) -> None:
        """Samples a point, and queues its scores. The program is compiled already."""
        began = time.perf_counter()
        images = jax.block_until_ready(self.sample(model, point))
        seconds = (time.perf_counter() - began) / len(self._scorer.captions)
        pixels, match, fid = self._scorer.on_device(images)
        work = (model, point, batch_size, method, seconds, pixels[:SHOWN], match, fid)
        for future in [future for future in self._pending if future.done()]:
            future.result()  # raises what went wrong there
            self._pending.remove(future)
        self._pending.append(self._threads.submit(self._score, *work))

    def finish(self) -> None:
        """Waits for the scores."""
        for future in self._pending:
            future.result()

    def _score(
        self,
        model: LatentDiffusion,
        point: Point,
        batch_size: int,
        method: str,
        seconds: float,
        pixels: Array,
        match: Array,
        fid: Array,
    ) -> None:
        features = np.asarray(fid)
        scores = self._scorer.scores(np.asarray(match), features)
        self._folder.save_images(point, np.asarray(pixels))
        if point.guidance == 1.0 and np.isfinite(features).all():
            kid = kernel_distance(features, self._real, subsets=10, size=min(1000, len(features)))
            path = self._folder.path / "kid" / f"{point.name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"kid": kid.mean, "error": kid.standard_error}))
        sizes = backbone_of(model)
        self._rows.write(
            Row(
                **dataclasses.asdict(point),
                **dataclasses.asdict(scores),
                **model_size(model.config)._asdict(),
                parameters=count_parameters(model.network),
                batch=batch_size,
                method=method,
                cost=normalised_cost(sizes),
                gflops=evaluation_of(model),
                evaluations=evaluations_of(model, point),
                branches=sizes.branches(point.guidance),
                seconds=seconds,
                device=jax.devices()[0].device_kind,
            )
        )
