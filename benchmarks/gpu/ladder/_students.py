"""Students of the ladder's widths: each is distilled to a few steps, and sampled."""

import dataclasses
import json
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array

import equildm as eqd
from equildm import OptimizerConfig, TrainConfig, TrainState
from equildm.distill import DistillConfig
from equildm.pipeline import LatentDiffusion
from equildm.study import Point, write_table
from equildm.training import EMAS, make_step

from ._data import encode, Examples, examples_of, Images
from ._parts import Ladder, SHARES
from ._points import Sampling
from ._train import order_of

METHODS = {
    "progressive": DistillConfig(
        method="progressive", guidance="fixed", guidance_range=(1.5, 1.5), stages=(16, 8, 4)
    ),
    "codi": DistillConfig(method="codi"),
}
"""In four steps the best that was measured, and the paper's own."""
STEPS = (1, 2, 4, 8, 16)


class Students:
    """The models of one width: its teacher, and the students that a method leaves."""

    def __init__(self, ladder: Ladder, vae: eqd.VAE, width: int, method: str, rate: float):
        c = ladder.config
        self.method, self.distill, self.width = method, METHODS[method], width
        self.run = f"{ladder.name(width, 0)}-{method}-{rate:g}-{c.distill_steps}"
        self.phases = len(self.distill.phases)
        self.train = TrainConfig(
            steps=c.distill_steps,
            batch_size=c.batch_size,
            optimizer=OptimizerConfig(learning_rate=rate, warmup=50, decay="cosine"),
        )
        self.distill.check(self.train)
        model = ladder.model(width, vae, 0)
        self.teacher = dataclasses.replace(
            model, network=ladder.read(ladder.name(width, 0), c.steps, model.network)
        )
        self.config = dataclasses.replace(
            model.config,
            network=self.distill.network(model.config.network),
            solver=self.distill.settings.sampler,
        )
        self.like = self.distill.trainable(model.network, key=jax.random.key(0))

    def ends(self, phase: int) -> tuple[int, ...]:
        """The steps of a phase after which its student is kept: the last, or four of the only."""
        length = self.train.steps // self.phases
        shares = SHARES if self.phases == 1 else (1.0,)
        return tuple(phase * length + round(share * length) for share in shares)

    def model(self, ladder: Ladder, step: int) -> LatentDiffusion:
        """A student that is kept."""
        network = ladder.read(self.run, step, self.like)
        return dataclasses.replace(self.teacher, network=network, config=self.config)

    def points(self, seed: int) -> Iterator[Point]:
        """How the students are sampled: those of a stage in its steps, the last also in fewer."""
        sampler = self.distill.settings.sampler
        scales = (1.0,) if self.distill.settings.guidance == "fixed" else (1.0, 1.5)
        last = self.train.steps
        ways = {(self.ends(i)[-1], steps) for i, steps in enumerate(self.distill.phases) if steps}
        few = min((steps for _, steps in ways), default=STEPS[-1])
        ways |= {(last, steps) for steps in STEPS if steps <= few}
        if not self.distill.settings.staged:
            ways |= {(step, 4) for step in self.ends(0)}
        for step, steps in sorted(ways):
            for scale in scales:
                yield Point(self.run, step, sampler, steps, scale, seed)


def distil(ladder: Ladder, vae: eqd.VAE, images: Images) -> None:
    """Distils each width by each method, and goes on after the last phase that is done."""
    c, text_encoder = ladder.config, ladder.text_encoder
    examples = examples_of(encode(vae, images.training), images.training_captions, text_encoder)
    order = order_of(len(examples.latents), c.batch_size, c.distill_steps, seed=3)
    take = jax.jit(Examples.batch)
    for students in each(ladder, vae):
        teacher, distill = students.teacher, students.distill
        ema, network = EMAS[distill.settings.ema], teacher.network
        for phase in range(students.phases):
            ends = students.ends(phase)
            if ladder.path(students.run, ends[-1]).exists():
                network = ladder.read(students.run, ends[-1], students.like)
                continue
            if ladder.late(60.0):
                ladder.log(f"{students.run} phase {phase}: not begun")
                return
            objective = distill.objective(
                students.train,
                network,
                schedule=teacher.schedule,
                prediction=teacher.prediction,
                null_text=text_encoder.null(),
                phase=phase,
            )
            optimizer = distill.optimizer(students.train)
            step = make_step(objective, optimizer, ema, key=jax.random.key(phase))
            start = distill.trainable(network, key=jax.random.key(0))
            state = TrainState.create(start, optimizer, ema)
            first = phase * (c.distill_steps // students.phases)
            losses: list[Array] = []
            began = time.perf_counter()
            for done in range(first + 1, ends[-1] + 1):
                state, metrics = step(state, take(examples, jnp.asarray(order[done - 1])))
                losses.append(metrics["loss"])
                if done in ends:
                    ladder.write(students.run, done, state.average())
            network = ladder.read(students.run, ends[-1], students.like)
            path = c.folder / f"{students.run}_{ends[-1]:06d}.json"
            path.write_text(json.dumps([round(float(loss), 6) for loss in losses]))
            seconds = time.perf_counter() - began
            ladder.log(f"{students.run} phase {phase}: {seconds:.0f} s, loss {losses[-1]:.5f}")


def sample_students(ladder: Ladder, sampling: Sampling, vae: eqd.VAE) -> None:
    """Samples and scores the students that are trained, into a table of their own."""
    c, sweep = ladder.config, sampling.sweep
    for students in each(ladder, vae):
        compiled = False
        for point in students.points(c.image_seed):
            trained = ladder.path(point.run, point.train_step).exists()
            if sweep.is_done(point) or not trained or ladder.late(2.0):
                continue
            model = students.model(ladder, point.train_step)
            if not compiled:
                jax.block_until_ready(sweep.sample(model, dataclasses.replace(point, steps=1)))
                compiled = True
            sweep.run(model, point, c.batch_size, method=students.method)
            ladder.log(point.name)
    sweep.finish()
    rows = sampling.folder.rows().read()
    rows = [r for r in rows if r.method in c.methods and r.seed == c.image_seed]
    name = "-".join(["students", *c.methods, str(c.image_seed)])
    write_table(sampling.folder.path / f"{name}.parquet", rows)
    for row in rows:
        ladder.log(f"{row.point.name}: {row.fid:.2f}")


def each(ladder: Ladder, vae: eqd.VAE) -> Iterator[Students]:
    """The students of all methods, rates and widths, in the order in which they are trained."""
    c = ladder.config
    for method in c.methods:
        for rate in c.distill_rates:
            for width in c.widths:
                yield Students(ladder, vae, width, method, rate)
