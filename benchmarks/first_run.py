"""What the first training gives for its time: `recipes/pretrain.py` from nothing, scored.

    python benchmarks/first_run.py
    python benchmarks/first_run.py --options "" "preset=tiny steps=2000"

Each training is a process of its own. Nothing is on the disk before it: it encodes the images,
compiles, trains, and makes its previews. A row holds its seconds, of the clock and of the
processors, and the scores of images of training captions and of held-out ones: the share that is
matched to its own caption among 100 (`recipes/evaluate.py`), and VGG16-FID. Chance is 1 %. The
samples are made by the model's own sampler. Scoring is not timed.
"""

import dataclasses
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

import equildm as eqd

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Config:
    """What the first training gives for its time."""

    options: tuple[str, ...] = ("",)
    """What each training changes of the recipe's options, in one string of NAME=VALUE."""
    count: int = 512
    """Training captions that are scored. Of the held-out ones: as many, or all."""
    seed: int = 0
    """Seed of the weights and of the order of the data."""
    keep: Path | None = None
    """A folder for the last preview of each training, as 0.png, 1.png, ..."""


def train(run: Path, options: str, seed: int) -> tuple[float, float]:
    """Trains from nothing.

    **Returns:** seconds of the clock and of all processors.
    """
    folder = run.parent
    recipe = ROOT / "recipes" / "pretrain.py"
    command = [
        *(sys.executable, str(recipe), "--run", str(run), "--cache", str(folder / "latents")),
        *("--seed", str(seed), *(f"--{option}" for option in options.split())),
    ]
    environment = {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs"), "PYTHONPATH": str(ROOT)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=os.environ | environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processors = sum(after[:2]) - sum(before[:2])
    return time.perf_counter() - start, processors


def score(run: Path, split: eqd.SplitName, count: int) -> tuple[str, float]:
    """The caption match of one split, with its interval, and the FID."""
    data = eqd.DataConfig.of_run(eqd.Run.open(run))
    model = eqd.load_pretrained(run)
    evaluator = eqd.Evaluator(data, model.config.image_size, split_name=split, count=count)
    images = eqd.to_uint8(eqd.TextToImage(model)(evaluator.captions, batch_size=64))
    match = evaluator.caption_match(images)
    low, high = match.rank1_interval
    text = f"{match.rank1:6.1%} ({low:.1%} to {high:.1%})"
    return text, evaluator.frechet_distance(images)


def main(config: Config) -> None:
    eqd.enable_compile_cache()
    for number, options in enumerate(config.options):
        with tempfile.TemporaryDirectory() as name:
            run = Path(name) / "run"
            clock, processors = train(run, options, config.seed)
            print(f"{options or 'defaults'}: {clock:.0f} s, {processors:.0f} s of processors")
            for split in ("training", "held-out"):
                match, distance = score(run, split, config.count)
                print(f"  {split:8}  caption match {match}, FID {distance:.1f}", flush=True)
            if config.keep is not None:
                last = max((run / "samples").glob("*.png"))
                config.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(last, config.keep / f"{number}.png")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
