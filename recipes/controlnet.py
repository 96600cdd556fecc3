"""Trains a ControlNet (Zhang et al. 2023): control images steer a frozen, pretrained model.

A copy of the UNet's encoder, or of a transformer's first blocks, reads the noisy latent and the
control image, and adds residuals to the network's features through layers that are zero at first.
The copy alone is trained; the run keeps the pretrained network in `base/`. Control images are made
of the data as they come up; pass a function of your own to `dataset` in place of `CONTROLS[...]`
for depth, poses or sketches.

    python recipes/controlnet.py --start runs/emoji
    python recipes/controlnet.py --start runs/emoji --control colors --run runs/colors
    python recipes/controlnet.py --start stable-diffusion-2-base/ --data my_images/ --size 512

    control_to_image = ControlToImage(load_pretrained("runs/controlnet"))
    images = control_to_image(controls, prompts, strength=1.0)
"""

import dataclasses
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import UInt8

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Trains a ControlNet: control images steer a frozen, pretrained model."""

    run: eqd.Location = "runs/controlnet"
    """Folder for everything that this run leaves."""
    fine_tune: eqd.Flat[eqd.FineTuneConfig] = eqd.FineTuneConfig(trainable=("control.*",))
    data: eqd.Flat[eqd.CaptionedDataConfig] = eqd.CaptionedDataConfig()
    loss: eqd.Flat[eqd.LossConfig] = eqd.LossConfig()
    train: eqd.Flat[eqd.TrainConfig] = eqd.TrainConfig(steps=1000)
    control: Literal["edges", "colors"] = "edges"
    """What the control images show: edges, or blurred colours."""
    blocks: int | None = None
    """Blocks of a transformer that are copied; by default half of them."""
    caption_dropout: float = 0.1
    """Share of captions replaced by the empty one, for classifier-free guidance."""
    preview_count: int = 8
    """Held-out images whose control images the previews show."""
    guidance_scale: float = 2.0
    """Guidance scale of the previews."""

    def __post_init__(self) -> None:
        self.data.check_previews(self.preview_count)


def main(config: Config) -> None:
    import jax  # not at the top, so that --help is quick

    mesh, seed = config.train.launch(), config.train.seed
    run = config.train.prepare_run(
        config.run, config, "controlnet", may_change=("preview_count", "guidance_scale")
    )

    # The model: the pretrained network with a control branch, of which the branch is trained.
    start = eqd.open_start(config.fine_tune, run, image_size=config.data.size, seed=seed, mesh=mesh)
    network = eqd.ControlNetConfig.for_pixels(start.config.network, start.vae.factor, config.blocks)
    model = start.with_network(network.around(start.network, key=jax.random.key(seed)), network)
    trainable = config.fine_tune.split(model.network, seed=seed, run=run, start=start.network)

    # The data: images, captions and control images, and fixed examples of the held-out ones.
    control = eqd.CONTROLS[config.control]
    data, monitor = config.data, config.train.monitor
    training, held_out = data.splits()
    dataset = data.dataset(training, model.text_encoder, control=control)
    validation = monitor.held_out(
        eqd.held_out_images, data, held_out, model.text_encoder, control=control
    )
    images, captions = data.examples(held_out, config.preview_count)
    controls = np.stack([control(image) for image in images])

    eqd.begin_run(run, model, trained=trainable.part, frozen=trainable.frozen)
    eqd.log(f"{eqd.count_parameters(trainable.model) / 1e6:.1f}M trained, {len(dataset)} images.")

    # The loss: denoising, conditioned on captions and control images.
    denoising = config.train.denoising(
        config.loss,
        model.schedule,
        model.prediction,
        model.null_text(),
        dropout=config.caption_dropout,
    )
    objective = eqd.ConditionedDenoising(denoising, model.vae, eqd.control_image)
    rate = 1e-5 if model.config.network.has_paper_size else 1e-3

    def preview(state: eqd.TrainState) -> UInt8[np.ndarray, "height width 3"]:
        sampler = eqd.ControlToImage(model.with_network(trainable.network(state.average())))
        sample = partial(sampler, controls, captions, steps=16, solver="dpm++2m")
        scale = config.guidance_scale
        samples = [eqd.to_uint8(sample(guidance_scale=scale, seed=seed)) for seed in range(2)]
        rows = np.stack([controls, *samples, images], axis=1).reshape(-1, *images.shape[1:])
        labels = [label for caption in captions for label in ("control", caption, "", "true")]
        return eqd.image_grid(rows, labels, columns=8)

    state = eqd.train(
        trainable.model,
        trainable.objective(objective),
        dataset,
        config.fine_tune.optimizer(config.train, rate),
        config.train,
        run=run,
        mesh=mesh,
        preview=preview,
        held_out=validation,
    )
    grid, path = preview(state), run.path / "controlled.png"
    eqd.on_first_process("controlled images", lambda: eqd.save_png(path, grid))
    run.push()
    eqd.log(f"Images of {len(images)} held-out captions are in {run.location}/{path.name}.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
