"""Trains the emoji model that ships: 3.8M parameters, three drawing styles.

    python benchmarks/emoji_styles.py --noto ... --fluent ...    # makes runs/styles
    python benchmarks/train_emoji_model.py                       # goes on where it was stopped

The weights are those of `load_pretrained("emoji")`: at the end they are written to `exported/` of
the run, from where `model.json` and `network.safetensors` go to `equildm/pretrained/emoji/`, and an
image of 16 prompts to `docs/gallery/shipped.png`. The network is `quick`, the default of
`recipes/pretrain.py`, with a wider third level and one more block at the second: its bfloat16 file
stays below 8 MB. Noise and loss are those of that recipe too.
"""

import dataclasses

import numpy as np
import tyro
from jaxtyping import UInt8

import equildm as eqd

PROMPTS = (
    *("red heart", "green apple", "rocket", "wolf"),
    *("sunflower", "cat, noto style", "flag of france", "house, noto style"),
    *("blue heart, fluent style", "woman firefighter medium-dark skin tone"),
    *("man astronaut light skin tone", "skull, fluent style"),
    *("red book", "pink square", "blue tulip", "yellow ghost"),
)
"""The last eight are not in the training set: four are held out, four are no emoji."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Trains the emoji model that ships."""

    run: eqd.Location = "runs/emoji-model"
    """Folder of the run."""
    data: eqd.DataConfig = eqd.DataConfig(source="runs/styles")
    train: eqd.TrainConfig = eqd.TrainConfig(
        steps=20_000,
        batch_size=64,
        resume=True,
        new=True,
        save_every=200,
        preview_every=1000,
        optimizer=eqd.OptimizerConfig(learning_rate=2e-3, decay="cosine"),
    )


def main(config: Config) -> None:
    mesh = config.train.launch()
    run = config.train.prepare_run(config.run, config, "emoji-model")
    vae, text_encoder = eqd.open_parts(run)
    unet = eqd.preset(
        "quick",
        in_channels=vae.latent_channels,
        out_channels=vae.latent_channels,
        context_width=text_encoder.width,
        multipliers=(1, 2, 4),
        depths=(1, 2, 1),
    )
    model = eqd.new_model(
        unet,
        vae,
        text_encoder,
        image_size=config.data.size,
        noise=eqd.NoiseConfig(schedule="squared-cosine"),
        seed=config.train.seed,
        mesh=mesh,
    )
    dataset = config.data.latents(vae, text_encoder)
    held_out = config.train.monitor.held_out(config.data.held_out_latents, vae, text_encoder)
    eqd.begin_run(run, model)
    eqd.log(f"{eqd.count_parameters(model.network) / 1e6:.2f}M parameters, {len(dataset)} images.")
    objective = config.train.denoising(
        eqd.LossConfig(weight="uniform", times="logit-normal"),
        model.schedule,
        model.prediction,
        dataset.null_text,
        dropout=0.1,
    )

    def preview(state: eqd.TrainState) -> UInt8[np.ndarray, "height width 3"]:
        images = eqd.TextToImage(model.with_network(state.average()))(PROMPTS, steps=20)
        return eqd.image_grid(eqd.to_uint8(images), PROMPTS, columns=4)

    eqd.train(
        model.network,
        objective,
        dataset,
        config.train.optimizer.build(config.train.steps),
        config.train,
        run=run,
        mesh=mesh,
        preview=preview,
        held_out=held_out,
    )
    trained = eqd.load_pretrained(run.path)
    eqd.save_pretrained(run.path / "exported", trained, layout="equildm", dtype="bfloat16")
    images = eqd.to_uint8(eqd.TextToImage(trained)(PROMPTS))
    eqd.save_png("docs/gallery/shipped.png", eqd.image_grid(images, PROMPTS, columns=8))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
