"""Makes pictures from a run folder, or from the weights of a Stable Diffusion.

python recipes/sample.py runs/emoji --prompt "red heart" "green apple"
python recipes/sample.py runs/emoji --prompt "cat face" --count 8 --solver dpm++2m --steps 12
python recipes/sample.py runs/emoji --prompt "cat face" --cfg 1 2 4 8 --seed 3
python recipes/sample.py --weights stable-diffusion-v1-5/ --prompt "a red fox" --cfg 7.5
"""

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import choices
import tyro
from sources import open_run, open_weights, Source

from equildm.runtime import enable_compile_cache, picture_grid, save_png, to_uint8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Makes pictures from a run folder, or from the weights of a Stable Diffusion."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder that pretrain.py left."""
    weights: Path | None = None
    """Instead of a run: a Stable Diffusion of any width, as a folder of diffusers or a single
    file."""
    tokenizer: Path | None = None
    """CLIP's vocabulary and merges, which a single file does not hold."""
    lora: tuple[Path, ...] = ()
    """Low-rank adapters for --weights, of diffusers, peft or kohya; several are added up."""
    lora_scale: float = 1.0
    """How much of the adapters."""
    prompt: tuple[str, ...]
    """Captions; each is a row of the picture."""
    negative: str = ""
    """What to be guided away from."""
    count: int = 4
    """Pictures of each caption."""
    cfg: tuple[float, ...] = ()
    """Guidance weights; 1 is the plain conditional model. Several make a column each. By default 3,
    or a distilled model's own."""
    solver: str | None = None
    """Sampler by name; by default the model's own, ddim for most."""
    steps: int | None = None
    """Steps of the sampler; by default 50, or a distilled model's own."""
    grid: choices.Grid | None = None
    """How the noise levels are spaced; by default trailing, or as the weights' scheduler says."""
    rescale: float = 0.0
    """Guidance rescale (Lin et al. 2023); 0.7 where colours are too strong."""
    seed: int = 0
    """Picture i starts from the same noise whatever else is asked for."""
    average: str | None = None
    """Which average of the run's weights: by name, `none` for the weights as trained, or a relative
    width such as 0.07 where the run has snapshots."""
    checkpoint: int | None = None
    """Step of the run's checkpoint; the newest by default."""
    height: int | None = None
    """Of the pictures from --weights, in pixels; by default what they were trained on."""
    width: int | None = None
    """Of the pictures from --weights, in pixels; by default what they were trained on."""
    batch: int = 16
    """Pictures made at a time."""
    out: Path | None = None
    """PNG to write; by default in the run's samples/, or in samples/."""


def main(config: Config) -> None:
    if not config.prompt:
        raise ValueError("sample.py needs a caption. Pass --prompt 'red heart'.")
    if config.solver is not None:
        choices.solver(config.solver)  # A wrong name is an error before anything is read.
    source = open_source(config)
    enable_compile_cache()

    name, steps = config.solver or source.sampler, config.steps or source.steps
    cfg = config.cfg or (source.weight,)
    weights = [weight for weight in cfg for _ in range(config.count)]
    captions = [prompt for prompt in config.prompt for _ in weights]
    began = time.perf_counter()
    images = source.make(
        captions,
        levels=source.levels(steps, name, config.grid),
        seeds=[i % config.count for i in range(len(captions))],
        seed=config.seed,
        solver=choices.solver(name),
        weight=weights * len(config.prompt),
        negative=config.negative,
        rescale=config.rescale,
        batch=config.batch,
    )
    seconds = time.perf_counter() - began
    labels = [
        f"{caption} w={weight:g}" if len(cfg) > 1 else caption
        for caption, weight in zip(captions, weights * len(config.prompt), strict=True)
    ]
    picture = picture_grid(to_uint8(images), labels, columns=len(weights))
    out = config.out or unused(source.pictures / f"{name}_{steps}.png")
    save_png(out, picture)
    print(f"{len(images)} pictures of {source.said} in {seconds:.1f} s, compiling included: {out}")


def open_source(config: Config) -> Source:
    """The run or the weights, whichever was given."""
    if (config.run is None) == (config.weights is None):
        raise ValueError(
            "sample.py makes pictures of a run folder or of --weights, one of the two; received "
            f"{config.run} and {config.weights}."
        )
    if config.weights is not None:
        if config.average is not None or config.checkpoint is not None:
            raise ValueError("Weights have no averages and no checkpoints: leave these out.")
        return open_weights(
            config.weights,
            tokenizer=config.tokenizer,
            loras=config.lora,
            lora_scale=config.lora_scale,
            height=config.height,
            width=config.width,
        )
    if config.height is not None or config.width is not None or config.lora:
        raise ValueError(
            "A run makes pictures of its own size without adapters: leave --height, --width and "
            "--lora out, or convert it (recipes/convert.py) and sample its --weights."
        )
    assert config.run is not None
    return open_run(config.run, average=config.average, step=config.checkpoint, steps=config.steps)


def unused(path: Path) -> Path:
    """`path`, with a number if it is taken: no picture is overwritten."""
    candidates = (path.with_stem(f"{path.stem}_{n}") for n in range(1, 10**6))
    return path if not path.exists() else next(c for c in candidates if not c.exists())


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
