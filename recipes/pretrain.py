"""Trains a text-to-image latent diffusion model on captioned images.

By default: a small network that learns quickly on a CPU, on 3,953 emoji, with a frozen MiniLM text
encoder and the VAE that ships with the package. The run folder's `samples/` show 16 prompts as the
training goes on; the last eight are not in the training set.

    python recipes/pretrain.py
    python recipes/pretrain.py --data my_images/ --run runs/mine --vae runs/vae/vae --size 256
    python recipes/pretrain.py --backbone dit --run runs/dit             # a transformer
    python recipes/pretrain.py --resume          # goes on exactly where the run was stopped
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Trains a text-to-image latent diffusion model on captioned images."""

    run: eqd.Location = "runs/emoji"
    """Folder for everything that this run leaves."""
    data: eqd.Flat[eqd.DataConfig] = eqd.DataConfig()
    noise: eqd.Flat[eqd.NoiseConfig] = eqd.NoiseConfig(schedule="squared-cosine")
    loss: eqd.Flat[eqd.LossConfig] = eqd.LossConfig(weight="uniform", times="logit-normal")
    train: eqd.Flat[eqd.TrainConfig] = eqd.TrainConfig(steps=5000, batch_size=64)
    preset: str = "quick"
    """Size of the network: quick, tiny .. small, 39M .. 5B; a UNet's width; DiT's S/2 .. XL/2."""
    backbone: eqd.BackboneName = "unet"
    """Kind of the network: UNet, or a transformer that attends to captions or jointly with them."""
    size_conditioning: bool = False
    """Tell the network the sizes of each image and its crop, as SDXL does."""
    vae: Path | None = None
    """Folder of a VAE as diffusers saves one; by default the small one that ships here."""
    text_encoder: Path | None = None
    """Folder of a CLIP, BERT or T5, or of a pipeline with one; by default MiniLM."""
    max_tokens: int = 16
    """Tokens that a caption is padded or cut to."""
    caption_dropout: float = 0.1
    """Share of captions replaced by the empty one, for classifier-free guidance."""
    prompts: tuple[str, ...] | None = None
    """Prompts of the previews; by default captions of the data, half of them of held-out images.
    Without a word: no previews."""
    guidance_scale: float = 3.0
    """Guidance scale of the previews."""


def main(config: Config) -> None:
    mesh = config.train.launch()
    run = config.train.prepare_run(
        config.run,
        config,
        "pretrain",
        may_change=("data.source", "data.cache", "prompts", "guidance_scale"),
    )

    # The model: a fresh network, a frozen VAE and a frozen text encoder.
    vae, text_encoder = eqd.open_parts(
        run, vae=config.vae, text_encoder=config.text_encoder, max_tokens=config.max_tokens
    )
    sizes = eqd.backbone_for(config.backbone, config.preset, vae, text_encoder)
    network = eqd.SizeConditioningConfig(sizes) if config.size_conditioning else sizes
    config.data.check_step(vae.factor * network.multiple)
    model = eqd.new_model(
        network,
        vae,
        text_encoder,
        image_size=config.data.size,
        noise=config.noise,
        seed=config.train.seed,
        mesh=mesh,
    )

    # The data: every training image and caption through both encoders, once; then from the cache.
    dataset = config.data.latents(vae, text_encoder, with_sizes=config.size_conditioning)
    held_out = config.train.monitor.held_out(
        config.data.held_out_latents, vae, text_encoder, with_sizes=config.size_conditioning
    )
    eqd.begin_run(run, model)
    eqd.log(f"{eqd.count_parameters(model.network) / 1e6:.1f}M parameters, {len(dataset)} images.")

    # The loss: denoising, conditioned on captions.
    objective = config.train.denoising(
        config.loss,
        model.schedule,
        model.prediction,
        dataset.null_text,
        dropout=config.caption_dropout,
    )
    rate = 1e-4 if sizes.has_paper_size else 2e-3 if config.preset == "quick" else 1e-3
    optimizer = config.train.optimizer.build(config.train.steps, rate)

    prompts = eqd.preview_captions(config.data) if config.prompts is None else config.prompts

    def preview(state: eqd.TrainState) -> UInt8[np.ndarray, "height width 3"]:
        text_to_image = eqd.TextToImage(model.with_network(state.average()))
        images = text_to_image(
            prompts, steps=16, solver="dpm++2m", guidance_scale=config.guidance_scale
        )
        return eqd.image_grid(eqd.to_uint8(images), prompts)

    eqd.train(
        model.network,
        objective,
        dataset,
        optimizer,
        config.train,
        run=run,
        mesh=mesh,
        preview=preview if prompts else None,
        held_out=held_out,
    )
    eqd.log(f"To sample: python recipes/sample.py {run.location} --prompt ...")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
