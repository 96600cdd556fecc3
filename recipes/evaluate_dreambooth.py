"""What runs of dreambooth.py learned of their subject, and what they forgot of its class.

Each model makes images of prompts with the rare word and without it, from the same noise:

- subject: how alike images with the rare word are to the subject's own, by VGG16's features at five
  depths (cosine, 1 is equal). "bare" is the same of prompts without the word, whose images should
  not look like the subject;
- shown: how many images are nearer (LPIPS) to the subject's own of the same caption than to the
  start's of that caption without the word. For the default subject this is known of unseen prompts;
- caption kept: of how many images with the word the start's images of the same prompt without it
  are nearer than those of any other prompt;
- class moved, class diversity: how far (LPIPS) images without the word have moved from the start's,
  and how much those of one prompt differ from each other.

    python recipes/evaluate_dreambooth.py runs/emoji runs/subject runs/subject-no-prior
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import equildm as eqd
from equildm.data.builtin.tinted import UNSEEN


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What runs of dreambooth.py learned of their subject, and what they forgot of its class."""

    start: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """The model that the runs started from."""
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders of dreambooth.py, of one subject."""
    count: int = 4
    """Images of each prompt."""
    unseen: tuple[str, ...] = tuple(f"woman {job}" for job in UNSEEN)
    """Prompts that the subject has no image of; {} is where the rare word goes."""
    guidance_scale: float = 3.0
    """Scale of classifier-free guidance."""
    sampling_steps: int = 16
    """Steps of DPM-Solver++(2M)."""
    out: Path = Path("runs/subjects")
    """Folder for the table and the images."""

    def __post_init__(self) -> None:
        if not self.runs or self.count < 1:
            raise ValueError(
                "An evaluation takes at least one run of dreambooth.py after the start, and one "
                f"image of each prompt; received {len(self.runs)} and --count {self.count}."
            )


def main(config: Config) -> None:
    eqd.enable_compile_cache()
    first = eqd.Run.open(config.runs[0])
    learned, size = eqd.SubjectConfig.of_run(first), eqd.read_run_model(first).model.image_size
    subject = learned.read(size)
    known = tuple(dict.fromkeys(subject.captions))
    prompts = (*known, *config.unseen)
    texts = [eqd.with_token(prompt, learned.token) for prompt in prompts]
    bare = [eqd.without_token(prompt) for prompt in prompts]

    # Images with the word and without it, of every model.
    paths = (config.start, *config.runs)
    images = {}
    for path in paths:
        text_to_image = eqd.TextToImage(eqd.load_pretrained(path))
        images[path] = [
            eqd.to_uint8(
                text_to_image(
                    np.repeat(captions, config.count).tolist(),
                    steps=config.sampling_steps,
                    solver="dpm++2m",
                    grid="trailing",  # the same levels for every model
                    guidance_scale=config.guidance_scale,
                    seed=11,
                    batch_size=32,
                )
            )
            for captions in (texts, bare)
        ]

    # The scores, and how much further than the first run each other moved its class.
    evaluator = eqd.SubjectEvaluator(
        subject, prompts, images[config.start][1], learned.unseen(size)
    )
    scores, tables = {}, {}
    for path in paths:
        scores[path] = evaluator(*images[path])
        if path in config.runs[1:]:
            base = config.runs[0]
            moved = scores[path]["class moved"].minus(scores[base]["class moved"])
            scores[path][f"class moved over {base}"] = moved
        step = eqd.run_step(path)
        tables[str(path)] = eqd.subject_summary(scores[path]) | {"step": step}
        eqd.log(f"{path}, step {step}:")
        for name, score in scores[path].items():
            low, high = score.interval
            eqd.log(f"    {name:32s} {score.mean:.3f} [{low:.3f}, {high:.3f}]")

    document = {
        "config": {"count": config.count, "captions": prompts, "token": learned.token},
        "interval": "95 %, bootstrap over captions",
        "chance of caption kept": 1 / len(prompts),
        "scores": tables,
    }
    config.out.mkdir(parents=True, exist_ok=True)
    eqd.write_json(config.out / "scores.json", document)
    chosen = [*range(min(3, len(known))), *range(len(known), min(len(known) + 3, len(prompts)))]
    rows = [some[i * config.count] for path in paths for some in images[path] for i in chosen]
    labels = [captions[i] for captions in (texts, bare) for i in chosen]
    grid = eqd.image_grid(np.stack(rows), labels * len(paths), columns=len(labels))
    eqd.save_png(config.out / "images.png", grid)
    eqd.log(f"Written to {config.out}; each row of images.png is a model.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
