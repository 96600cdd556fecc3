"""Scores a run: do its pictures match their captions, and do they look like the data?

For captions of the training split, or of the split that was kept from it, one picture each:

- `caption-match`: how often a picture's own caption is found among itself and 99 others, by a
  matcher fitted on the real training pictures (VGG16 to MiniLM); beside it the score of real
  pictures, and of the same pictures with their captions shuffled, which is chance;
- `fid`, `kid`, `precision-recall`: against the real pictures of the same captions, by VGG16, or by
  Inception-v3 where `--inception` gives its weights; `is`, by SqueezeNet or those; `fid` against
  the statistics in a file where `--reference` names one;
- `clip-score`, by the CLIP in the folder that `--clip` names;
- `lpips`: the mean distance of a picture to the real one of its caption.

docs/metrics.md says what they are worth and how to get the weights.

    python recipes/evaluate.py runs/emoji --split held-out
    python recipes/evaluate.py runs/emoji --split training --count 512 --cfg 5
    python recipes/evaluate.py runs/emoji --metrics fid kid is --inception inception.safetensors
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import choices
import models
import networks
import numpy as np
import tyro
from judge import Judge
from required import of_inception, require, Rule, there
from scores import compare_pairs, compare_sets, extractor_of, Metric

from equildm.features import described
from equildm.metrics import collect_statistics, FeatureStatistics
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
    metrics: tuple[Literal["caption-match"] | Metric, ...] = ("caption-match", "fid")
    """What to measure."""
    inception: Path | None = None
    """Safetensors of Inception-v3, in place of VGG16 and SqueezeNet."""
    resize: Literal["tf1", "antialiased"] = "tf1"
    """How Inception-v3's pictures are brought to 299 pixels: as for FID or for clean-FID."""
    clip: Path | None = None
    """Folder of a CLIP as transformers saves it."""
    reference: Path | None = None
    """An .npz with mu and sigma that FID is a distance to, in place of the real pictures of the
    captions; of the same network."""
    reference_count: int | None = None
    """Of how many pictures that is, where the file does not say."""
    save_reference: Path | None = None
    """Where to write such a file of the real pictures of the captions."""


def main(config: Config) -> None:
    solver = choices.solver(config.solver)
    check(config)
    enable_compile_cache()
    run = Run.open(config.run)
    judge = Judge(run, split_name=config.split, count=config.count, seed=config.seed)
    check_number(config.metrics, len(judge.captions))
    fid_to = references(config, judge.real)
    model = models.load_model(run)
    network, step = networks.load_network(run, model, average=config.average)
    make = models.pipeline(run, model, network)

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
        fid_to=fid_to,
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
    suffix += f"_to_{config.reference.stem}" if config.reference else ""
    out = run.path / f"evaluation_{config.split}_{step:08d}{suffix}.json"
    write_atomic(out, json.dumps(scores, indent=2) + "\n")
    print(f"Written to {out}.")


def check(config: Config) -> None:
    """Refuses what cannot work, before anything is loaded."""
    fid, clip = "fid" in config.metrics, "clip-score" in config.metrics
    to = config.reference is not None
    require(
        config,
        [
            Rule(config.count >= 1, "count", "Pictures are at least 1", "Use 256"),
            Rule(config.batch >= 1, "batch", "Pictures at a time are at least 1", "Use 32"),
            Rule(config.steps >= 1, "steps", "Sampling steps are at least 1", "Use 20"),
            Rule(
                config.clip is not None or not clip,
                "clip",
                "The metric clip-score takes the weights of a CLIP",
                "Give --clip PATH",
            ),
            Rule(fid or not to, "reference", "A reference is FID's", "Add fid to --metrics"),
            Rule(
                to or config.reference_count is None,
                "reference_count",
                "The count is that of a reference",
                "Give --reference PATH",
            ),
            there("clip", config.clip),
            there("inception", config.inception),
            there("reference", config.reference),
            of_inception(config.resize, config.inception),
        ],
    )


def check_number(metrics: Sequence[str], count: int) -> None:
    """Refuses metrics that so many pictures are too few for."""
    for metric, least in (("fid", 2), ("kid", 2), ("precision-recall", 4)):
        if metric in metrics and count < least:
            raise ValueError(
                f"{metric} takes at least {least} pictures, received {count}. Raise --count, take "
                "a split with more captions, or leave it out of --metrics."
            )


def references(config: Config, real: np.ndarray) -> tuple[str, FeatureStatistics] | None:
    """Writes the statistics of the real pictures, and reads those that FID is a distance to, with
    their name."""
    if config.save_reference is None and config.reference is None:
        return None
    extractor = extractor_of(config.inception, config.resize)
    if config.save_reference is not None:
        collect_statistics(extractor, real).save(config.save_reference)
    if config.reference is None:
        return None
    found = FeatureStatistics.load(
        config.reference, extractor=described(extractor), count=config.reference_count
    )
    if len(found.mean) != extractor.channels[-1]:
        raise ValueError(
            f"{described(extractor)} has {extractor.channels[-1]} features, received "
            f"{len(found.mean)} in {config.reference}. Give the network that it was made with."
        )
    return f"pictures of {config.reference.name}", found


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
