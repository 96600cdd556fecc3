"""Distils a run of pretrain.py into a student that samples in 1 to 8 steps.

    python recipes/distill.py runs/emoji --method codi --run runs/emoji-codi
    python recipes/distill.py runs/emoji --method lcm --weights 1 6 --run runs/emoji-lcm
    python recipes/distill.py runs/emoji --method guided --weights 1 6 --run runs/emoji-guided
    python recipes/sample.py runs/emoji-codi --prompt "red heart"        # by its best sampler

The student begins as its teacher. The run folder is like any other, `--resume` included. The
methods with stages (guided, progressive) train one student after the other, each the teacher of the
next, in equal shares of the steps; all of them are kept.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import choices
import equinox as eqx
import jax
import jax.numpy as jnp
import models
import networks
import numpy as np
import tyro
from methods import Config, objective_of, optimizer_of, STAGED
from pretrain import cache_of, Config as Pretrain
from training import launch, MAY_CHANGE, train

from equildm.denoise import GuidanceConditioned, Preconditioned
from equildm.distill import AbstractStudent, AdaptedStudent, Student
from equildm.interop import load_vae
from equildm.nn import merged, new_adapters
from equildm.noise import grids
from equildm.runtime import (
    agreed,
    Checkpoints,
    Computing,
    count_parameters,
    once,
    picture_grid,
    Run,
    say,
    to_uint8,
    write_atomic,
)
from equildm.train import TrainState

PICTURE_STEPS = (1, 2, 4, 8)


def main(config: Config) -> None:
    mesh = launch(config)
    source = Run.open(config.teacher)
    pretrained, model = source.load_config(Pretrain), models.load_model(source)
    network, step = networks.load_network(source, model, average=config.average, mesh=mesh)
    say(f"{count_parameters(network) / 1e6:.1f}M parameters, of step {step} of {source.path}.")

    # Stages and growing grids depend on the number of steps.
    fixed = ("steps",) if config.method in (*STAGED, "ict") else ()
    may_change = [name for name in (*MAY_CHANGE, "cache", "prompts") if name not in fixed]
    run = Run.create(config.run, config, "distill", resume=config.resume, may_change=may_change)
    models.run_vae(source.path / "vae", run)
    files = source.path / "config.json", run.path / "teacher.json"
    once("teacher", lambda: write_atomic(files[1], files[0].read_text(encoding="utf-8")))
    model = student_model(config, model)
    models.save_model(run, model)

    if config.lora is not None:
        with Checkpoints(run.path / "base") as base:
            base.save(0, {"model": eqx.filter(network, eqx.is_array)}, {})

    vae, _ = load_vae(run.path / "vae")
    own_text = source.path if (source.path / "text_encoder").exists() else None
    text = models.run_text(own_text, run, model.caption_length)
    pretrained = dataclasses.replace(pretrained, cache=config.cache or pretrained.cache)
    cache = cache_of(pretrained, vae, text)
    schedule, prediction = choices.SCHEDULES[model.schedule], choices.PREDICTIONS[model.prediction]
    policy = choices.policy(config.compute)
    whole = partial(merged, network) if config.lora is not None else lambda trained: trained
    pictures = pictures_of(config, model, run, whole) if config.prompts else None

    # One phase after the other: the student of each is the teacher of the next.
    length = config.steps // len(config.phases)
    done = agreed(Checkpoints(run.checkpoints).latest()) or 0
    for number in range(min(done // length, len(config.phases) - 1), len(config.phases)):
        start = number * length
        if number > 0:
            network, _ = networks.load_network(run, model, step=start, mesh=mesh)
        student: AbstractStudent = Student(schedule, prediction, policy, config.remat)
        if config.lora is not None:
            student = AdaptedStudent(student, network)
        objective = objective_of(
            config,
            number,
            student=student,
            schedule=schedule,
            null_text=jax.tree.map(jnp.asarray, cache.null_text),
            teacher=Preconditioned(Computing(network, policy), schedule, prediction),
            vae=vae,
        )
        snapshots = length if config.method in STAGED else config.snapshots
        train(
            dataclasses.replace(config, steps=start + length, snapshots=snapshots),
            run,
            begin(network, model, config.seed),
            cache,
            objective,
            optimizer_of(config, length),
            choices.EMAS[model.ema],
            pictures,
            start=start,
            label=f"{config.method} {config.phases[number] or ''}".rstrip(),
        )
    say(f"Pictures are in {run.samples}. More: python recipes/sample.py {run.path} --prompt ...")


def student_model(config: Config, teacher: models.Model) -> models.Model:
    """The teacher's sizes with what distillation changes, and how to sample it."""
    recipe, phases = config.recipe, config.phases
    length = config.steps // len(phases)
    stages = tuple((n, (i + 1) * length) for i, n in enumerate(phases) if n is not None)
    own_weight = {"fixed": 1.0, "embedded": float(np.clip(config.cfg, *config.weights))}
    distilled = models.Distilled(
        boundary=recipe.boundary,
        sampler=recipe.sampler,
        steps=stages[-1][0] if stages else 4,
        weight=own_weight.get(recipe.guidance, config.cfg),
        stages=stages,
    )
    told = 256 if recipe.guidance == "embedded" else None
    unet = dataclasses.replace(teacher.unet, guidance_width=told)
    return dataclasses.replace(
        teacher, unet=unet, ema=recipe.ema, distilled=distilled, lora=config.lora
    )


def begin(network: Any, model: models.Model, seed: int) -> Any:
    """What is trained, before its first step: the teacher in memory of its own, or adapters that
    change nothing yet."""
    if model.lora is not None:
        return new_adapters(network, model.lora, key=jax.random.key(seed))
    network = jax.tree.map(jnp.copy, network)
    if model.unet.guidance_width is None or isinstance(network, GuidanceConditioned):
        return network
    return GuidanceConditioned(network, model.unet.guidance_width)


def pictures_of(
    config: Config,
    model: models.Model,
    run: Run,
    whole: Callable[[Any], Any],
) -> Callable[[TrainState], np.ndarray]:
    """Makes each prompt in 1, 2, 4 and 8 steps, a column each, by the first average, of which
    `whole` makes a network."""
    assert model.distilled is not None
    schedule, weight = choices.SCHEDULES[model.schedule], model.distilled.weight
    solver = choices.solver(model.distilled.sampler)
    longest = max(PICTURE_STEPS) + 1

    def pictures(state: TrainState) -> np.ndarray:
        pipeline = models.pipeline(run, model, whole(state.average()))
        make = partial(pipeline, config.prompts, solver=solver, weight=weight, seed=0)
        grid = [grids.pad(grids.trailing(schedule, steps), longest) for steps in PICTURE_STEPS]
        images = np.stack([make(levels=levels) for levels in grid], axis=1)
        labels = [f"{prompt} {steps}" for prompt in config.prompts for steps in PICTURE_STEPS]
        images = images.reshape(-1, *images.shape[2:])
        return picture_grid(to_uint8(images), labels, columns=len(PICTURE_STEPS))

    return pictures


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
