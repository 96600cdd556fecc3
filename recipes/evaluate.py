"""Scores a run: do its pictures match their captions, and do they look like the data?

For captions of the training split, or of the split that was kept from it, one picture each:

- `caption-match`: how often a picture's own caption is found among itself and 99 others, by a
  matcher fitted on the real training pictures (VGG16 to MiniLM); beside it the score of real
  pictures, and of the same pictures with their captions shuffled, which is chance;
- `fid`, `kid`, `precision-recall`: against the real pictures of the same captions, by VGG16, or by
  Inception-v3 where `--inception` gives its weights; `is`, by SqueezeNet or those;
- `clip-score`, by the CLIP in the folder that `--clip` names;
- `lpips`: the mean distance of a picture to the real one of its caption.

docs/metrics.md says what they are worth and how to get the weights.

    python recipes/evaluate.py runs/emoji --split held-out
    python recipes/evaluate.py runs/emoji --split training --count 512 --cfg 5
    python recipes/evaluate.py runs/emoji --metrics fid kid is --inception inception.safetensors
"""

import dataclasses
import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import choices
import jax
import models
import networks
import numpy as np
import tyro
from pretrain import Config as Pretrain
from scores import compare_pairs, compare_sets, Metric

from equildm.data import AbstractSource, Crop, open_source, split
from equildm.features import pool_features
from equildm.interop import load_minilm, load_vgg16
from equildm.metrics import (
    caption_match,
    CaptionMatch,
    CaptionMatcher,
    FeatureStatistics,
    fit_caption_matcher,
    frechet_distance,
)
from equildm.noise import grids
from equildm.runtime import enable_compile_cache, from_json, Run, to_uint8, write_atomic


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
    metrics: tuple[Literal["caption-match"] | Metric, ...] = ("caption-match", "fid")
    """What to measure."""
    inception: Path | None = None
    """Safetensors of Inception-v3, in place of VGG16 and SqueezeNet."""
    resize: Literal["tf1", "antialiased"] = "tf1"
    """How Inception-v3's pictures are brought to 299 pixels: as for FID or for clean-FID."""
    clip: Path | None = None
    """Folder of a CLIP as transformers saves it."""


class Judge:
    """Scores pictures of some captions of a run's data.

    **Fields:**

    - `captions`: what to make pictures of.
    - `real`: the pictures that belong to them.
    """

    def __init__(
        self, run: Run, *, split_name: Literal["held-out", "training"], count: int, seed: int
    ):
        """**Arguments:** the run, and as in `Config`."""
        trained, model = data_config(run), models.load_model(run)
        training, held_out = split(open_source(trained.data), trained.held_out)
        asked = held_out if split_name == "held-out" else training
        chosen = np.random.default_rng(seed).permutation(len(asked))[:count]
        self.captions = [asked.caption(int(i)) for i in chosen]
        self.real = pictures(asked, chosen, model.size)
        self._training, self._model, self._vgg = training, model, load_vgg16()
        self._key = jax.random.key(seed)

    @functools.cached_property
    def _matcher(self) -> CaptionMatcher:
        every = np.arange(len(self._training))
        real = pictures(self._training, every, self._model.size)
        text = load_minilm(length=self._model.caption_length)
        return fit_caption_matcher(real, self._names, self._vgg, text)

    @functools.cached_property
    def _names(self) -> list[str]:
        return [self._training.caption(i) for i in range(len(self._training))]

    @functools.cached_property
    def _statistics(self) -> FeatureStatistics:
        return self._of(self.real)

    def match(self, images: np.ndarray, captions: Sequence[str]) -> CaptionMatch:
        """How often a picture's own caption is found among others."""
        return caption_match(self._matcher, images, captions, self._names, self._key)

    def distance(self, images: np.ndarray) -> float:
        """VGG16-FID to the real pictures."""
        return frechet_distance(self._of(images), self._statistics)

    def _of(self, images: np.ndarray) -> FeatureStatistics:
        return FeatureStatistics.of("VGG16", pool_features(self._vgg, images))


def main(config: Config) -> None:
    solver = choices.solver(config.solver)
    if "clip-score" in config.metrics and config.clip is None:
        raise ValueError("The metric 'clip-score' takes weights: give --clip PATH.")
    enable_compile_cache()
    run = Run.open(config.run)
    model = models.load_model(run)
    network, step = networks.load_network(run, model, average=config.average)
    make = models.pipeline(run, model, network)
    judge = Judge(run, split_name=config.split, count=config.count, seed=config.seed)

    began = time.perf_counter()
    made = to_uint8(
        make(
            judge.captions,
            levels=grids.trailing(choices.SCHEDULES[model.schedule], config.steps),
            solver=solver,
            weight=config.cfg,
            seed=config.seed,
            batch=config.batch,
        )
    )
    seconds = time.perf_counter() - began

    shuffled = list(np.random.default_rng(config.seed + 1).permutation(judge.captions))
    scores: dict[str, Any] = {
        "step": step,
        "options": f"{config.solver} {config.steps} steps, cfg {config.cfg:g}, seed {config.seed}",
        "split": config.split,
        "pictures": len(made),
        "seconds": round(seconds, 1),
    }
    if "caption-match" in config.metrics:
        for name, images, words in (
            ("made", made, judge.captions),
            ("real", judge.real, judge.captions),
            ("shuffled", made, shuffled),
        ):
            match = judge.match(images, words)
            print(f"{name:9s}{match}")
            scores[name] = match._asdict()
    metrics = [metric for metric in config.metrics if metric != "caption-match"]
    reference = f"real pictures of the {config.split} captions"
    found = compare_sets(
        metrics,
        made,
        judge.real,
        reference,
        inception=config.inception,
        resize=config.resize,
        seed=config.seed,
    )
    pairs = (made, judge.real, judge.captions)
    found += compare_pairs(metrics, *pairs, clip=config.clip, seed=config.seed)
    for score in found:
        print(score)
        scores[score.name] = score.value
    scores["scores"] = [score.as_dict() for score in found]
    # Other metrics go beside the usual ones, not over them.
    usual = config.metrics == Config.metrics
    suffix = "" if usual else "_" + "_".join(sorted(config.metrics))
    out = run.path / f"evaluation_{config.split}_{step:08d}{suffix}.json"
    write_atomic(out, json.dumps(scores, indent=2) + "\n")
    print(f"Written to {out}.")


def data_config(run: Run) -> Pretrain:
    """What a run, or the teacher of a distilled run, was trained on."""
    if run.recipe != "distill":
        return run.load_config(Pretrain)
    document = json.loads((run.path / "teacher.json").read_text(encoding="utf-8"))
    return from_json(Pretrain, document["config"])


def pictures(source: AbstractSource, indices: np.ndarray, size: int) -> np.ndarray:
    """Real pictures, cropped in the middle."""
    crop = Crop(size)
    return np.stack([crop(source.image(int(i))) for i in indices])


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
