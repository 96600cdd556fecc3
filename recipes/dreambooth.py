"""Teaches a model one subject from a few images of it (DreamBooth, Ruiz et al. 2023).

The captions of the subject get a rare word. Beside each image of the subject the model sees one of
its class, which the start made itself, with the same caption without that word. So it does not
forget the class.

By default: six images of a blue woman at work, for a run of pretrain.py on emoji.

    python recipes/dreambooth.py --start runs/emoji
    python recipes/dreambooth.py --start runs/emoji --lora 8 --run runs/subject-lora
    python recipes/dreambooth.py --start runs/mine --data my_dog/ --class-prompt "photo of a {} dog"
    python recipes/sample.py runs/subject --prompt "sks woman mechanic"
    python recipes/evaluate_dreambooth.py runs/emoji runs/subject
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import UInt8

import equildm as eqd

SOLVER = "dpm++2m"
JOBS = ("firefighter", "pilot", "mechanic", "scientist")  # no image shows the last two
PROMPTS = (*(f"{{}} woman {job}" for job in JOBS), *(f"woman {job}" for job in JOBS))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Teaches a model one subject from a few images of it."""

    run: eqd.Location = "runs/subject"
    """Folder for everything that this run leaves."""
    subject: eqd.Flat[eqd.SubjectConfig] = eqd.SubjectConfig()
    prior: eqd.Flat[eqd.PriorConfig] = eqd.PriorConfig()
    fine_tune: eqd.Flat[eqd.FineTuneConfig] = eqd.FineTuneConfig()
    loss: eqd.Flat[eqd.LossConfig] = eqd.LossConfig()
    train: eqd.Flat[eqd.TrainConfig] = eqd.TrainConfig(
        steps=200,
        batch_size=4,  # of the subject, and as many of the class
        optimizer=eqd.OptimizerConfig(warmup=10),
        ema="decay-0.95",
        save_every=200,
        preview_every=200,
    )
    train_text_encoder: bool = False
    """Train the text encoder too, at the rates that --groups gives to "text.*"."""
    prompts: tuple[str, ...] = PROMPTS
    """Prompts of the previews, {} being the rare word; none for no previews."""
    guidance_scale: float = 3.0
    """Guidance scale of the class's images and of the previews."""
    sampling_steps: int = 16
    """Steps of DPM-Solver++(2M) for the same."""


def main(config: Config) -> None:
    mesh, seed = config.train.launch(), config.train.seed
    run = config.train.prepare_run(config.run, config, "dreambooth", may_change=("prompts",))

    # The model, and the part of it that is trained.
    start = eqd.open_start(config.fine_tune, run, seed=seed, mesh=mesh)
    both = eqd.TextConditioned(start.network, start.text_encoder)
    trains_text, token = config.train_text_encoder, config.subject.token
    trainable = config.fine_tune.split(both if trains_text else start.network, seed=seed, run=run)
    null = both.null_ids() if trains_text else start.null_text()
    subject = config.subject.read(start.config.image_size)
    levels = start.levels(config.sampling_steps, SOLVER)
    eqd.begin_run(
        run,
        start,
        trained=trainable.part,
        frozen=trainable.frozen,
        trains_text_encoder=trains_text,
    )
    millions = eqd.count_parameters(start.network) / 1e6
    eqd.log(f"{millions:.1f}M parameters, of {config.fine_tune.start}.")

    def sample(
        model: eqd.LatentDiffusion, prompts: Sequence[str], seed: int = 0
    ) -> UInt8[np.ndarray, "count height width 3"]:
        text_to_image = partial(eqd.TextToImage(model), levels=levels, solver=SOLVER, batch_size=32)
        return eqd.to_uint8(text_to_image(prompts, guidance_scale=config.guidance_scale, seed=seed))

    # The data: the subject, and images of its class, which the start makes once.
    encode = partial(eqd.encode_images, vae=start.vae, text_encoder=start.text_encoder)
    encode = partial(encode, token_ids=trains_text)
    captions = [eqd.with_token(caption, token) for caption in subject.captions]
    latents, prior = encode(subject.images, captions), None
    if config.prior.weight:
        captions = config.prior.captions(subject)
        images = eqd.generated_images(
            run.path / "prior.npz",
            captions,
            lambda captions: sample(start, captions, seed + 3),
            preview=run.samples / "prior.png",
        )
        prior = encode(images, captions)

    size = start.config.image_size
    held_out = config.train.monitor.held_out(eqd.held_out_subject, config.subject, size, encode)

    # The loss: denoising of the subject, and of its class.
    loss = config.train.denoising(config.loss, start.schedule, start.prediction, null, dropout=0.0)
    objective = trainable.objective(config.prior.objective(loss))
    rate = 5e-6 if start.config.network.has_paper_size else 1e-4
    rate *= 20 if config.fine_tune.lora else 1

    def preview(state: eqd.TrainState) -> UInt8[np.ndarray, "height width 3"]:
        prompts = [prompt.replace("{}", token) for prompt in config.prompts]
        model = start.with_network(trainable.network(state.average()))
        return eqd.image_grid(sample(model, prompts), prompts)

    eqd.train(
        trainable.model,
        objective,
        eqd.SubjectLatents(latents, prior),
        config.fine_tune.optimizer(config.train, rate),
        config.train,
        run=run,
        mesh=mesh,
        preview=preview if config.prompts else None,
        held_out=held_out,
    )
    eqd.log(f"To sample: python recipes/sample.py {run.location} --prompt ...")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
