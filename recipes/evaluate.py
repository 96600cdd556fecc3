"""Scores a run: do its images match their captions, and do they look like the data?

One image is made for each of some captions, of the training split or of the split that was held
out from training. The metrics:

- `caption-match`: how often an image's own caption ranks first among itself and 99 others, by a
  matcher that is fitted on the real training images (VGG16 to MiniLM); beside it the score of the
  real images, and of the same images with shuffled captions, which is chance;
- `fid`, `kid`, `precision-recall`: to the real images of the same captions, or `fid` to a file of
  statistics (`--reference`), by VGG16, AlexNet (`--features`) or the Inception-v3 of `--inception`;
- `is`: the Inception score, by SqueezeNet or that Inception-v3;
- `clip-score`: by the CLIP in the folder that `--clip` names;
- `lpips`: the mean distance of an image to the real one of its caption.

    python recipes/evaluate.py runs/emoji
    python recipes/evaluate.py runs/emoji --split training --count 512 --guidance-scale 5
    python recipes/evaluate.py runs/emoji --metrics fid kid is --inception inception.safetensors
"""

import dataclasses
import time
from functools import partial
from typing import Annotated

import tyro

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Scores a run: do its images match their captions, and do they look like the data?"""

    model: Annotated[eqd.Location, tyro.conf.Positional]
    """A run folder: its data are scored against."""
    split: eqd.SplitName = "held-out"
    """Which captions."""
    count: int = 256
    """How many of them, at most."""
    guidance_scale: float | None = None
    """Scale of classifier-free guidance; by default the model's own."""
    solver: eqd.SolverName | str | None = None
    """Sampler by name, or of your own: my_solver.py:MySolver. By default the model's own."""
    sampling_steps: int | None = None
    """Steps of the sampler; by default the model's own."""
    ema: str | None = None
    """Which average of the weights, see sample.py; `none` for the weights as trained."""
    seed: int = 0
    """Seed of the images' noise, and of the captions."""
    batch_size: int = 32
    """Images that are made at a time."""
    scores: eqd.Flat[eqd.ScoreConfig] = eqd.ScoreConfig()

    def __post_init__(self) -> None:
        eqd.check_solvers(self.solver)
        eqd.check_counts(self, "count", "batch_size", "sampling_steps")

    def options(self) -> dict[str, object]:
        """The options that scores depend on."""
        scores = dataclasses.replace(self.scores, save_reference=None)
        options = eqd.to_json(dataclasses.replace(self, scores=scores))
        return {name: options[name] for name in options if name not in ("model", "batch_size")}


def main(config: Config) -> None:
    eqd.enable_compile_cache()
    eqd.log(f"Opening {config.model} and its {config.split} images.")
    run = eqd.Run.open(config.model)  # only a run folder records its data
    step = eqd.run_step(config.model, ema=config.ema, sampling_steps=config.sampling_steps)
    assert step is not None
    own = eqd.read_run_model(run).model
    evaluator = eqd.Evaluator(
        eqd.DataConfig.of_run(run),
        own.image_size,
        split_name=config.split,
        count=config.count,
        seed=config.seed,
        max_tokens=own.max_tokens,
    )
    compare = config.scores.open(evaluator.real, f"real images of the {config.split} captions")

    model = eqd.load_pretrained(config.model, ema=config.ema, sampling_steps=config.sampling_steps)
    captions, start = evaluator.captions, time.perf_counter()
    with eqd.Progress(len(captions), label="sampling", unit="images") as progress:
        progress.wait_for(f"from step {step}, compiling")
        samples = eqd.TextToImage(model)(
            captions,
            steps=config.sampling_steps,
            guidance_scale=config.guidance_scale,
            solver=config.solver,
            seed=config.seed,
            batch_size=config.batch_size,
            report=progress.update,
        )
    images = eqd.to_uint8(samples)
    seconds = time.perf_counter() - start

    document: dict[str, object] = {
        "step": step,
        "split": config.split,
        "images": len(images),
        "solver": config.solver or own.solver,
        "sampling_steps": config.sampling_steps or own.sampling_steps,
        "evaluations": eqd.study.evaluations_in(
            config.solver or own.solver,
            config.sampling_steps or own.sampling_steps,
            partial(model.levels, solver=config.solver),
        ),
        "guidance_scale": (
            own.guidance_scale if config.guidance_scale is None else config.guidance_scale
        ),
        "seed": config.seed,
        "seconds": round(seconds, 1),
    }
    metrics = config.scores.metrics
    eqd.log(f"Scoring: {', '.join(metrics)}.")
    if "caption-match" in metrics:
        for name, match in evaluator.caption_matches(images).items():
            eqd.log(f"{name:10s}{match}")
            document[name] = match._asdict()
    scores = compare(images, evaluator.captions, seed=config.seed)
    for score in scores:
        eqd.log(str(score))
        document[score.name] = score.value
    document["scores"] = [score.as_dict() for score in scores]

    # Other options than the usual ones have a file of their own.
    options = config.options()
    document["options"] = options
    suffix = eqd.settings_name(options, Config(model="").options())
    out = run.path / f"evaluation_{config.split}_{step:08d}{suffix}.json"
    eqd.write_json(out, document)
    run.push()
    eqd.log(f"Written to {run.location}/{out.name}.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
