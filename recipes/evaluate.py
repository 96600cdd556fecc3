"""Scores a run: do its pictures match their captions, and do they look like the data?

For captions of the training split, or of the split that was kept from it, one picture each:

- caption match: how often a picture's own caption is found among itself and 99 others, by a matcher
  fitted on the real training pictures (VGG16 to MiniLM); beside it the score of real pictures, and
  of the same pictures with their captions shuffled, which is chance;
- VGG16-FID against the real pictures of the same captions.

    python recipes/evaluate.py runs/emoji --split held-out
    python recipes/evaluate.py runs/emoji --split training --count 512 --cfg 5
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import parts
import tyro
from pretrain import Config as Pretrain

from equildm.data import AbstractSource, Crop, open_source, split
from equildm.features import pool_features
from equildm.interop import load_minilm, load_vgg16
from equildm.metrics import (
    caption_match,
    FeatureStatistics,
    fit_caption_matcher,
    frechet_distance,
)
from equildm.noise import grids
from equildm.runtime import enable_compile_cache, Run, to_uint8, write_atomic


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Scores a run: do its pictures match their captions, and do they look like the data?"""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder that pretrain.py left."""
    split: Literal["held-out", "training"] = "held-out"
    """Which captions."""
    count: int = 256
    """How many of them, at most."""
    cfg: float = 3.0
    """Guidance weight."""
    solver: str = "dpm++2m"
    """Sampler by name."""
    steps: int = 20
    """Steps of the sampler."""
    average: str | None = None
    """Which average of the weights; `none` for the weights as trained."""
    seed: int = 0
    """Of the pictures' noise and of the captions drawn beside the true one."""
    batch: int = 32
    """Pictures made at a time."""


def main(config: Config) -> None:
    solver = parts.solver(config.solver)
    enable_compile_cache()
    run = Run.open(config.run)
    trained = run.load_config(Pretrain)
    model = parts.load_model(run)
    network, step = parts.load_network(run, model, average=config.average)
    make = parts.pipeline(run, model, network)

    training, held_out = split(open_source(trained.data), trained.held_out)
    asked = held_out if config.split == "held-out" else training
    chosen = np.random.default_rng(config.seed).permutation(len(asked))[: config.count]
    captions = [asked.caption(int(i)) for i in chosen]
    real = pictures(asked, chosen, model.size)

    began = time.perf_counter()
    made = to_uint8(
        make(
            captions,
            levels=grids.trailing(parts.SCHEDULES[model.schedule], config.steps),
            solver=solver,
            weight=config.cfg,
            seed=config.seed,
            batch=config.batch,
        )
    )
    seconds = time.perf_counter() - began

    vgg, text = load_vgg16(), load_minilm(length=model.caption_length)
    every = np.arange(len(training))
    names = [training.caption(int(i)) for i in every]
    matcher = fit_caption_matcher(pictures(training, every, model.size), names, vgg, text)
    shuffled = list(np.random.default_rng(config.seed + 1).permutation(captions))
    key = jax.random.key(config.seed)
    scores: dict[str, Any] = {
        "step": step,
        "options": f"{config.solver} {config.steps} steps, cfg {config.cfg:g}, seed {config.seed}",
        "split": config.split,
        "pictures": len(made),
        "seconds": round(seconds, 1),
    }
    for name, images, words in (
        ("made", made, captions),
        ("real", real, captions),
        ("shuffled", made, shuffled),
    ):
        match = caption_match(matcher, images, words, names, key)
        print(f"{name:9s}{match}")
        scores[name] = match._asdict()
    sets = [FeatureStatistics.of("VGG16", pool_features(vgg, images)) for images in (made, real)]
    scores["VGG16-FID"] = frechet_distance(*sets)
    print(f"VGG16-FID {scores['VGG16-FID']:.1f} from {len(made)} made to {len(real)} real pictures")
    out = run.path / f"evaluation_{config.split}_{step:08d}.json"
    write_atomic(out, json.dumps(scores, indent=2) + "\n")
    print(f"Written to {out}.")


def pictures(source: AbstractSource, indices: np.ndarray, size: int) -> np.ndarray:
    """Real pictures, cropped in the middle."""
    crop = Crop(size)
    return np.stack([crop(source.image(int(i))) for i in indices])


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
