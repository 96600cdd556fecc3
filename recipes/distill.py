"""Distils a run of pretrain.py into a student that samples in 1 to 8 steps.

    python recipes/distill.py runs/emoji --method lcm --guidance-range 1 6 --run runs/lcm
    python recipes/distill.py runs/emoji --method guided --guidance-range 1 6 --run runs/guided
    python recipes/distill.py runs/emoji --method codi --run runs/codi
    python recipes/sample.py runs/lcm --prompt "red heart"               # by its best sampler

The student begins as its teacher. Its run folder is like any other, `--resume` included. The staged
methods (guided, progressive) train one student after the other, each the teacher of the next, in
equal shares of the steps. The folder keeps all of them.
"""

import dataclasses
from functools import partial
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import UInt8

import equildm as eqd
from equildm.runtime.options import Hidden

PREVIEW_STEPS = (1, 2, 4, 8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Distils a run of pretrain.py into a student that samples in 1 to 8 steps."""

    teacher: Annotated[eqd.Location, tyro.conf.Positional]
    """Run folder of the teacher."""
    run: eqd.Location = "runs/distilled"
    """Folder for everything that this run leaves."""
    distill: eqd.Flat[eqd.DistillConfig] = eqd.DistillConfig()
    train: eqd.Flat[eqd.TrainConfig] = eqd.TrainConfig(
        optimizer=eqd.OptimizerConfig(decay="cosine")
    )
    teacher_ema: str | None = None
    """Average of the teacher's weights: by name, `none` for the weights as trained, or a relative
    width such as 0.07 where the run has snapshots."""
    cache: eqd.Location | None = None
    """Folder of cached latents and text embeddings; by default the teacher's."""
    prompts: tuple[str, ...] | None = None
    """Prompts of the previews, in 1, 2, 4 and 8 steps; by default four captions of the data, two of
    them of held-out images. Without a word: no previews."""
    guidance_scale: float = 3.0
    """Guidance scale of the previews and of sampling later: with embedded guidance the nearest in
    --guidance-range, with fixed guidance 1."""
    data: Hidden[eqd.DataConfig | None] = None
    """The teacher's data, which are the student's too."""

    def __post_init__(self) -> None:
        self.distill.check(self.train)


def main(config: Config) -> None:
    import jax  # not at the top, so that --help is quick

    mesh = config.train.launch()
    distill = config.distill
    data = eqd.DataConfig.of_run(eqd.Run.open(config.teacher))
    data = dataclasses.replace(data, cache=config.cache or data.cache)
    config = dataclasses.replace(config, data=data)
    run = config.train.prepare_run(
        config.run,
        config,
        "distill",
        may_change=("cache", "data.cache", "data.record", "prompts"),
        fixed=("train.steps",) if distill.depends_on_steps else (),
    )

    # The teacher, with its data, and the student's config.
    teacher = eqd.load_pretrained(config.teacher, ema=config.teacher_ema, mesh=mesh)
    step = eqd.run_step(config.teacher, ema=config.teacher_ema)
    millions = eqd.count_parameters(teacher.network) / 1e6
    eqd.log(f"{millions:.1f}M parameters, of step {step} of {config.teacher}.")
    student_config = dataclasses.replace(
        teacher.config,
        network=distill.network(teacher.config.network),
        solver=distill.settings.sampler,
        grid=None,
        sampling_steps=distill.sampling_steps,
        guidance_scale=distill.sampling_scale(config.guidance_scale),
    )
    dataset = data.latents(teacher.vae, teacher.text_encoder)

    key, ema = jax.random.key(config.train.seed), config.train.ema or distill.settings.ema
    _, frozen = distill.part.split(teacher.network, key=key)
    eqd.begin_run(
        run,
        dataclasses.replace(teacher, config=student_config),
        trained=distill.part,
        frozen=frozen,
        stages=distill.students(config.train.steps),
    )

    prompts = eqd.preview_captions(data, 4) if config.prompts is None else config.prompts

    def preview(state: eqd.TrainState) -> UInt8[np.ndarray, "height width 3"]:
        network = distill.part.join(state.average(), frozen)
        student = dataclasses.replace(teacher, network=network, config=student_config)
        make = partial(eqd.TextToImage(student), prompts)
        longest = max(PREVIEW_STEPS) + 1
        levels = [
            eqd.grids.pad(eqd.grids.trailing(student.schedule, n), longest) for n in PREVIEW_STEPS
        ]
        images = np.stack([make(levels=grid) for grid in levels], axis=1)
        labels = [f"{prompt} {steps}" for prompt in prompts for steps in PREVIEW_STEPS]
        images = images.reshape(-1, *images.shape[2:])
        return eqd.image_grid(eqd.to_uint8(images), labels, columns=len(PREVIEW_STEPS))

    # One phase after the other: the student of each is the teacher of the next.
    length = config.train.steps // len(distill.phases)
    done = eqd.broadcast_from_first(eqd.Checkpoints(run.checkpoints).latest()) or 0
    for phase in range(min(done // length, len(distill.phases) - 1), len(distill.phases)):
        start = phase * length
        if phase > 0:
            teacher = eqd.load_pretrained(config.run, step=start, mesh=mesh)
        objective = distill.objective(
            config.train,
            teacher.network,
            schedule=teacher.schedule,
            prediction=teacher.prediction,
            null_text=dataset.null_text,
            vae=teacher.vae,
            phase=phase,
        )
        eqd.train(
            distill.trainable(teacher.network, key=key),
            objective,
            dataset,
            distill.optimizer(config.train),
            dataclasses.replace(
                config.train,
                steps=start + length,
                ema=ema,
                snapshots=length if distill.settings.staged else config.train.snapshots,
            ),
            run=run,
            mesh=mesh,
            preview=preview if prompts else None,
            start=start,
            label=f"{distill.method} {distill.phases[phase] or ''}".rstrip(),
        )
    eqd.log(f"To sample: python recipes/sample.py {run.location} --prompt ...")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
