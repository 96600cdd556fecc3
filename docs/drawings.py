"""Draws the figures of the guides: `python docs/drawings.py`, a minute on two CPU cores."""

import dataclasses
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import equildm as eqd
from equildm.denoise import UNetConfig

HERE = Path(__file__).resolve().parent
COLORS = plt.get_cmap("Pastel1").colors


def mistakes() -> None:
    """What wrong settings do to images, with the model that ships."""
    model = eqd.load_pretrained("emoji")
    prompts = ["blue heart", "woman firefighter medium skin tone", "orange circle"]
    scheduler = dataclasses.replace(model.config.scheduler, prediction=eqd.Epsilon())
    config = dataclasses.replace(model.config, scheduler=scheduler)
    wrong_prediction = dataclasses.replace(model, config=config)
    wrong_scale = dataclasses.replace(model, vae=model.vae.with_scale(0.18215))
    fresh = model.config.network.build(key=jax.random.key(0))
    rows = {
        "as it should be": (model, {}),
        "guidance scale 15": (model, {"guidance_scale": 15.0}),
        "2 steps on the Karras grid": (model, {"steps": 2, "grid": "karras"}),
        "epsilon read where the network predicts v": (wrong_prediction, {}),
        "another VAE's scale of latents": (wrong_scale, {}),
        "weights that are not trained": (model.with_network(fresh), {}),
    }
    images = np.concatenate(
        [eqd.TextToImage(each)(prompts, **options) for each, options in rows.values()]
    )
    grid = eqd.image_grid(eqd.to_uint8(images), columns=3, scale=3, rows=list(rows))
    eqd.save_png(HERE / "gallery/mistakes.png", grid)


def box(axis: plt.Axes, x: float, y: float, text: str, width: float, height: float, color) -> None:
    """A labelled rectangle around a point."""
    corner = (x - width / 2, y - height / 2)
    axis.add_patch(
        Rectangle(corner, width, height, facecolor=color, edgecolor="0.4", linewidth=0.8)
    )
    axis.text(x, y, text, ha="center", va="center", fontsize=7)


def arrow(axis: plt.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one point to another."""
    style = {"arrowstyle": "->", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=style)


def canvas(width: float, height: float) -> tuple[plt.Figure, plt.Axes]:
    """An empty figure, in units of inches."""
    figure, axis = plt.subplots(figsize=(width, height))
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    return figure, axis


def save(figure: plt.Figure, name: str) -> None:
    """Writes the PNG."""
    figure.savefig(HERE / name, dpi=150)
    plt.close(figure)


def unet() -> None:
    """The levels of the 39M UNet on a latent of 64x64."""
    config = UNetConfig(64)
    figure, axis = canvas(9, 4.4)
    levels = len(config.multipliers)
    for i, (multiplier, depth, blocks) in enumerate(
        zip(config.multipliers, config.depths, config.transformer_depths)
    ):
        channels, side, y = config.width * multiplier, 64 // 2**i, 3.8 - 0.85 * i
        part = "ResBlock" + (" + SpatialTransformer" if blocks else "")
        for x, count in ((1.6 + 0.55 * i, depth), (7.4 - 0.55 * i, depth + 1)):
            box(axis, x, y, f"{count} x {part}\n{side}x{side}x{channels}", 2.1, 0.5, COLORS[i])
        arrow(axis, (2.7 + 0.55 * i, y), (6.3 - 0.55 * i, y))
        if i < levels - 1:
            arrow(axis, (1.9 + 0.55 * i, y - 0.25), (1.9 + 0.55 * i, y - 0.6))
            arrow(axis, (7.1 - 0.55 * i, y - 0.6), (7.1 - 0.55 * i, y - 0.25))
    side = 64 // 2 ** (levels - 1)
    label = f"Middle: ResBlock, SpatialTransformer, ResBlock\n{side}x{side}x{channels}"
    box(axis, 4.5, 0.4, label, 2.9, 0.5, COLORS[4])
    arrow(axis, (3.25, 1.0), (3.6, 0.65))
    arrow(axis, (5.4, 0.65), (5.75, 1.0))
    axis.text(4.5, 4.15, "skip connections", ha="center", fontsize=7)
    save(figure, "gallery/unet.png")


def transformer() -> None:
    """From a latent to tokens, through the blocks and back."""
    figure, axis = canvas(9, 2.6)
    names = [
        ("latent\n64x64x4", 0.9, COLORS[0]),
        ("Patchify\n32x32 tokens", 1.1, COLORS[1]),
        ("+ positions", 0.9, COLORS[1]),
        ("self-attention", 1.1, COLORS[2]),
        ("attention\nto the caption", 1.1, COLORS[2]),
        ("feed-forward", 1.0, COLORS[2]),
        ("Unpatchify\n64x64x4", 1.1, COLORS[1]),
    ]
    x, y = 0.15, 1.1
    centres = []
    for text, width, color in names:
        box(axis, x + width / 2, y, text, width, 0.7, color)
        centres.append((x, x + width))
        x += width + 0.25
    for (_, right), (left, _) in pairwise(centres):
        arrow(axis, (right, y), (left, y))
    left, right = centres[3][0] - 0.1, centres[5][1] + 0.1
    axis.add_patch(Rectangle((left, 0.55), right - left, 1.1, fill=False, edgecolor="0.4"))
    axis.text(
        (left + right) / 2, 0.35, "DiTBlock, 26 times in the 39M preset", ha="center", fontsize=7
    )
    box(
        axis,
        (left + right) / 2,
        2.2,
        "time: scale, shift and gate of each part",
        2.6,
        0.4,
        COLORS[3],
    )
    arrow(axis, ((left + right) / 2, 2.0), ((left + right) / 2, 1.65))
    save(figure, "gallery/transformer.png")


def pod() -> None:
    """The 64 chips of a v5e slice with `--mesh fsdp=64`."""
    figure, axis = canvas(9, 3.2)
    for chip in range(64):
        x, y = 0.45 + 0.38 * (chip % 8), 2.9 - 0.38 * (chip // 8)
        box(axis, x, y, str(chip), 0.32, 0.32, COLORS[chip % 8])
    box(axis, 5.2, 2.5, "chip 5 holds", 2.2, 0.4, COLORS[5])
    for i, text in enumerate(
        (
            "1/64 of the weights, the averages and the optimiser's state",
            "examples 160 to 191 of the batch of 2,048",
            "of one block at a time: all weights, gathered from the others",
        )
    ):
        axis.text(4.1, 1.95 - 0.4 * i, f"- {text}", fontsize=8, va="center")
    save(figure, "gallery/pod.png")


def between(a: Any, b: Any, scale: float) -> Any:
    """On the line from one array to another."""
    return a + scale * (b - a) if eqx.is_inexact_array(a) else a


def lora(run: str) -> None:
    """Adapters at several scales: `python docs/drawings.py runs/subject-lora`."""
    base, tuned = eqd.load_pretrained("emoji"), eqd.load_pretrained(run)
    prompts = ["sks woman mechanic", "sks woman pilot", "woman mechanic"]
    scales = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
    columns = []
    for scale in scales:
        move = partial(between, scale=scale)
        network = jax.tree.map(move, base.network, tuned.network)
        columns.append(eqd.TextToImage(base.with_network(network))(prompts, seeds=[0] * 3))
    images = np.stack(columns, axis=1).reshape(-1, *columns[0].shape[1:])
    captions = [f"--lora-scale {scale:g}" for scale in scales] * len(prompts)
    grid = eqd.image_grid(eqd.to_uint8(images), captions, columns=len(scales), rows=prompts)
    eqd.save_png(HERE / "gallery/lora.png", grid)


def bucket() -> None:
    """What a training with everything in a bucket reads and writes."""
    figure, axis = canvas(9, 2.6)
    axis.add_patch(Rectangle((0.15, 0.1), 2.1, 2.4, fill=False, edgecolor="0.4"))
    axis.add_patch(Rectangle((6.75, 0.1), 2.1, 2.4, fill=False, edgecolor="0.4"))
    axis.text(1.2, 2.3, "bucket", ha="center", fontsize=8)
    axis.text(7.8, 2.3, "machines", ha="center", fontsize=8)
    rows = (
        ("--data\nimages, captions", "first launch: read once", False),
        ("--cache\nlatents, embeddings", "written once; later launches read it", True),
        ("--run\ncheckpoints, metrics", "written while training; read by --resume", True),
    )
    parts = ("encode", "train", "save, resume, sample")
    for i, ((text, label, writes), part) in enumerate(zip(rows, parts)):
        y = 1.85 - 0.65 * i
        box(axis, 1.2, y, text, 1.8, 0.5, COLORS[i])
        box(axis, 7.8, y, part, 1.8, 0.5, COLORS[i])
        arrow(axis, (2.3, y + 0.05), (6.7, y + 0.05))
        if writes:
            arrow(axis, (6.7, y - 0.1), (2.3, y - 0.1))
        axis.text(4.5, y + 0.12, label, ha="center", fontsize=7)
    save(figure, "gallery/bucket.png")


if __name__ == "__main__":
    for draw in (mistakes, unet, transformer, pod, bucket):
        draw()
    for run in sys.argv[1:]:
        lora(run)
