"""Enlarges images with a model of super_resolution.py.

python recipes/upscale.py runs/upscale image.jpg
python recipes/upscale.py runs/upscale *.png --sampling-steps 50 --noise-level 50 --out large/
"""

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import tyro

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Enlarges images with a model of super_resolution.py."""

    model: Annotated[eqd.Location, tyro.conf.Positional]
    """Run folder of super_resolution.py, or a folder that holds such a model."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files of any size."""
    out: Path = Path("samples")
    """Folder for the large images, PNG."""
    solver: eqd.SolverName | None = None
    """Name of the solver; by default the model's own."""
    sampling_steps: int | None = None
    """Steps of the solver; by default the model's own."""
    noise_level: float = 0.0
    """Noise that the small image gets first, as a time of the schedule: the more, the more is
    invented. At most what the model was trained with: 100 for --augmentation 0.1."""
    color_fix: float = 0.0
    """Takes colours from the small image: structure coarser than so many of its pixels, e.g. 2."""
    seed: int = 0
    """The same seed makes the same image."""
    ema: str | None = None
    """Average of the run's weights by name; `none` for the weights as trained."""
    overlap: int | None = None
    """Overlap of the tiles that large images are made of, in positions of the latent."""

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("upscale.py takes at least one image. Name a file after the model.")


def main(config: Config) -> None:
    eqd.enable_compile_cache()
    upscaler = eqd.Upscaler(eqd.load_pretrained(config.model, ema=config.ema))
    step = eqd.run_step(config.model, ema=config.ema)
    for path in config.images:
        eqd.read_image(path)  # one that cannot be read is refused before the first is enlarged
    for path in config.images:
        image, start = eqd.read_image(path), time.perf_counter()
        large = upscaler(
            image,
            steps=config.sampling_steps,
            solver=config.solver,
            seed=config.seed,
            noise_level=config.noise_level,
            overlap=config.overlap,
            color_fix=config.color_fix,
        )
        out = eqd.unused_path(config.out / f"{path.stem}_x{upscaler.config.scale}.png")
        eqd.save_png(out, eqd.to_uint8(large))
        height, width = image.shape[:2]
        seconds = time.perf_counter() - start
        model = config.model if step is None else f"step {step} of {config.model}"
        print(f"{path}: {width}x{height} to {out} by {model} in {seconds:.1f} s.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
