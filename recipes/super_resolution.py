"""Trains a model that enlarges images, from a pretrained text-to-image model.

The small image, resized up and encoded, lies beside the noisy latent: the first convolution gets as
many input channels more, with weights of zero, so that the start is the pretrained model. Small
images are made of large ones during training (`equildm.data.degrade`).

By default: 8-pixel emoji to 32 pixels, from fresh weights.

    python recipes/super_resolution.py --start runs/emoji
    python recipes/super_resolution.py --start runs/emoji --data photographs --shrink 2 --size 64
    python recipes/super_resolution.py --start runs/mine --data my_photographs/ --size 256
    python recipes/upscale.py runs/upscale image.jpg
"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import UInt8

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Trains a model that enlarges images, from a pretrained text-to-image model."""

    run: eqd.Location = "runs/upscale"
    """Folder for everything that this run leaves."""
    fine_tune: eqd.Flat[eqd.FineTuneConfig] = eqd.FineTuneConfig(start="none")
    data: eqd.Flat[eqd.DegradedDataConfig] = eqd.DegradedDataConfig()
    loss: eqd.Flat[eqd.LossConfig] = eqd.LossConfig()
    train: eqd.Flat[eqd.TrainConfig] = eqd.TrainConfig(
        steps=600, batch_size=16, optimizer=eqd.OptimizerConfig(decay="cosine"), ema="decay-0.999"
    )
    augmentation: float = 0.1
    """Share of the schedule up to which small images are noised; 0 for none."""
    captions: Literal["none", "own"] = "none"
    """Whether the model is conditioned on the captions of the images."""
    caption_dropout: float = 0.1
    """Share of own captions replaced by the empty one."""
    count: int = 48
    """Held-out squares that are scored at the end."""
    sampling_steps: int = 16
    """Steps of the model's own solver for previews and scores."""


def main(config: Config) -> None:
    import jax  # not at the top, so that --help is quick

    mesh, seed = config.train.launch(), config.train.seed
    run = config.train.prepare_run(
        config.run, config, "super_resolution", may_change=("count", "sampling_steps")
    )
    training, held_out = config.data.splits()
    squares = config.data.held_squares(held_out, config.count)
    bicubic = eqd.bicubic_baseline(squares.low, config.data.size)
    eqd.log(f"{len(training)} images, {len(held_out)} held out.")

    # The model: the pretrained one, with room for a second latent.
    start = eqd.open_start(config.fine_tune, run, image_size=config.data.size, seed=seed, mesh=mesh)
    model = eqd.new_upscaler(start, scale=config.data.scale, augmentation=config.augmentation)
    level = () if config.augmentation else ("projection.weight",)  # of the small image's noise
    trainable = config.fine_tune.split(
        model.network, seed=seed, run=run, start=start.network, unused=level
    )

    # The data: squares of images, and small ones of them.
    own = config.captions == "own"
    captions = eqd.captions_or_empty(training) if own else [""]
    dataset = config.data.pairs(training, eqd.embed_captions(model.text_encoder, captions))
    # What needs no training is scored first: it would refuse squares that cannot be scored.
    vae = eqd.reconstruction_baseline(model.vae, squares.images)
    scorer = eqd.RestorationScorer()
    baselines = {"bicubic": bicubic, "vae": vae}
    scores = {name: scorer(images, squares.images).means() for name, images in baselines.items()}
    eqd.begin_run(run, model, trained=trainable.part, frozen=trainable.frozen)
    size = eqd.count_parameters(model.network) / 1e6
    eqd.log(f"{size:.1f}M parameters, from {config.fine_tune.start}.")

    # The loss: denoising of the large image's latent beside that of the small one.
    denoising = config.train.denoising(
        config.loss,
        model.schedule,
        model.prediction,
        model.null_text(),
        dropout=config.caption_dropout if own else 0.0,
    )
    objective = eqd.SuperResolution(denoising, model.vae, config.augmentation)
    rate = 1e-4 if model.config.network.has_paper_size else 5e-4

    def upscale(
        state: eqd.TrainState, low: UInt8[np.ndarray, "images height width 3"]
    ) -> UInt8[np.ndarray, "images large_height large_width 3"]:
        # Whole and on one device: every process samples by itself, one square at a time.
        network = jax.device_put(eqd.gather(trainable.network(state.average())))
        upscaler = eqd.Upscaler(model.with_network(network))
        return eqd.to_uint8(upscaler.batch(low, steps=config.sampling_steps))

    def preview(state: eqd.TrainState) -> UInt8[np.ndarray, "height width 3"]:
        images, low, scale = squares.images[:8], squares.low[:8], config.data.scale
        small = low.repeat(scale, 1).repeat(scale, 2)
        columns = np.stack([small, bicubic[:8], upscale(state, low), images], axis=1)
        labels = ["small", "bicubic", "model", "original"] * len(images)
        return eqd.image_grid(columns.reshape(-1, *images.shape[1:]), labels, columns=4)

    state = eqd.train(
        trainable.model,
        trainable.objective(objective),
        dataset,
        config.fine_tune.optimizer(config.train, rate),
        config.train,
        run=run,
        mesh=mesh,
        preview=preview,
    )

    # Scores on held-out squares, beside the bicubic baseline and the best that the VAE can do.
    upscaled = upscale(state, squares.low)
    if not eqd.first_process():
        return
    scores["model"] = scorer(upscaled, squares.images).means()
    document = {"squares": len(squares.images), "step": int(state.step), "scores": scores}
    eqd.write_json(run.path / "quality.json", document)
    run.push()
    for name, values in scores.items():
        print(f"{name:8s}" + "".join(f"{kind} {value:8.4f}   " for kind, value in values.items()))
    print(f"The run is in {run.location}. More: python recipes/upscale.py {run.location} IMAGE")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
