"""Fine-tunes a pretrained model to paint a masked region of an image.

The mask and the latent of the masked image are put beside the noisy latent: the first convolution
gets as many input channels more, with weights of zero, so that training starts from the pretrained
model. Regions are random boxes and brush strokes, drawn anew for every example.

    python recipes/inpaint.py --start runs/emoji
    python recipes/inpaint.py --start stable-diffusion-2-base/ --data my_images/ --size 512

    inpainter = Inpainter(load_pretrained("runs/inpaint"))
    painted = inpainter(images, masks, prompts)
"""

import dataclasses
from functools import partial

import numpy as np
from jaxtyping import UInt8

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Fine-tunes a pretrained model to paint a masked region of an image."""

    run: eqd.Location = "runs/inpaint"
    """Folder for everything that this run leaves."""
    fine_tune: eqd.Flat[eqd.FineTuneConfig] = eqd.FineTuneConfig()
    data: eqd.Flat[eqd.CaptionedDataConfig] = eqd.CaptionedDataConfig()
    loss: eqd.Flat[eqd.LossConfig] = eqd.LossConfig()
    train: eqd.Flat[eqd.TrainConfig] = eqd.TrainConfig(steps=1000)
    caption_dropout: float = 0.1
    """Share of captions replaced by the empty one, for classifier-free guidance."""
    preview_count: int = 8
    """Held-out images that the previews show."""
    guidance_scale: float = 2.0
    """Guidance scale of the previews."""

    def __post_init__(self) -> None:
        self.data.check_previews(self.preview_count)


def main(config: Config) -> None:
    import jax  # not at the top, so that --help is quick

    mesh, seed = config.train.launch(), config.train.seed
    run = config.train.prepare_run(
        config.run, config, "inpaint", may_change=("preview_count", "guidance_scale")
    )

    # The model: the pretrained one, with input channels for the mask and the masked image.
    start = eqd.open_start(config.fine_tune, run, image_size=config.data.size, seed=seed, mesh=mesh)
    channels = start.vae.latent_channels
    model = start.with_network(
        eqd.widen_input(start.network, channels + 1),
        eqd.InpainterConfig.for_latents(start.config.network, channels),
    )
    trainable = config.fine_tune.split(  # a masked image has no noise whose level is embedded
        model.network, seed=seed, run=run, start=start.network, unused=("projection.weight",)
    )

    # The data: images and captions, and fixed examples of the held-out ones with their masks.
    data, monitor = config.data, config.train.monitor
    training, held_out = data.splits()
    dataset = data.dataset(training, model.text_encoder)
    validation = monitor.held_out(eqd.held_out_images, data, held_out, model.text_encoder)
    images, captions = data.examples(held_out, config.preview_count)
    keys = jax.random.split(jax.random.key(0), len(images))
    masks = np.stack([eqd.random_mask(key, *images.shape[1:3]) for key in keys])

    eqd.begin_run(run, model, trained=trainable.part, frozen=trainable.frozen)
    eqd.log(f"{eqd.count_parameters(trainable.model) / 1e6:.1f}M trained, {len(dataset)} images.")

    # The loss: denoising, conditioned on captions, masks and masked images.
    denoising = config.train.denoising(
        config.loss,
        model.schedule,
        model.prediction,
        model.null_text(),
        dropout=config.caption_dropout,
    )
    objective = eqd.ConditionedDenoising(denoising, model.vae, eqd.MaskedImage(eqd.random_mask))
    rate = 1e-4 if model.config.network.has_paper_size else 5e-4

    def preview(state: eqd.TrainState) -> UInt8[np.ndarray, "height width 3"]:
        inpainter = eqd.Inpainter(model.with_network(trainable.network(state.average())))
        paint = partial(inpainter, images, masks, captions, steps=16, solver="dpm++2m")
        painted = eqd.to_uint8(paint(guidance_scale=config.guidance_scale))
        grey = np.where(masks[..., None], np.uint8(128), images)
        rows = np.stack([grey, painted, images], axis=1).reshape(-1, *images.shape[1:])
        labels = [label for caption in captions for label in ("masked", caption, "true")]
        return eqd.image_grid(rows, labels, columns=6)

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
    grid, path = preview(state), run.path / "inpainted.png"
    eqd.on_first_process("inpainted images", lambda: eqd.save_png(path, grid))
    run.push()
    eqd.log(f"Images of {len(images)} held-out captions are in {run.location}/{path.name}.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
