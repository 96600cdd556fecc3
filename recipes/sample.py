"""Samples images from the model that ships, a run folder, or a Stable Diffusion.

python recipes/sample.py --prompt "red heart" "green apple"
python recipes/sample.py runs/emoji --prompt "cat face" --solver dpm++2m --sampling-steps 12
python recipes/sample.py runs/emoji --prompt "cat face" --guidance-scale 1 2 4 8 --seed 3
python recipes/sample.py stable-diffusion-v1-5/ --prompt "a red fox" --lora style.safetensors
"""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Literal

import tyro

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Samples images from the model that ships, a run folder, or a Stable Diffusion."""

    model: Annotated[eqd.Location, tyro.conf.Positional] = "emoji"
    """A run folder, a folder of diffusers, or a single file of Stable Diffusion at any width. By
    default the model of emoji that ships with this library."""
    prompt: tuple[str, ...]
    """Captions; each is a row of the grid."""
    negative_prompt: str = ""
    """Caption that guidance leads away from."""
    count: int = 4
    """Images of each caption."""
    guidance_scale: tuple[float, ...] = ()
    """Scales of classifier-free guidance; 1 is the conditional model. Each is a group of columns.
    By default the model's own."""
    solver: eqd.SolverName | str | None = None
    """Sampler by name, or of your own: my_solver.py:MySolver. By default the model's own."""
    sampling_steps: int | None = None
    """Steps of the sampler; by default the model's own."""
    grid: eqd.GridName | None = None
    """Spacing of the noise levels; by default the model's own."""
    rescale: float = 0.0
    """Guidance rescale (Lin et al. 2023); 0.7 where colours are too strong."""
    seed: int = 0
    """Image i starts from the same noise whatever the other options are."""
    ema: str | None = None
    """Average of a run's weights: by name, `none` for the weights as trained, or a relative width
    such as 0.07 where the run has snapshots."""
    step: int | None = None
    """Step of a run's checkpoint; the newest by default."""
    height: int | None = None
    """Height of the images in pixels; by default the size that the model was trained on."""
    width: int | None = None
    """Width of the images in pixels; by default the size that the model was trained on."""
    lora: tuple[Path, ...] = ()
    """Low-rank adapters of diffusers, peft or kohya; several are added up."""
    lora_scale: float = 1.0
    """Strength of the adapters."""
    tokenizer: Path | None = None
    """Folder of CLIP's vocabulary and merges, which a single file does not hold."""
    prediction: Literal["epsilon", "v_prediction"] | None = None
    """What a single file's network predicts; by default noise for version 1, velocity for 2."""
    batch_size: int = 16
    """Images at a time."""
    separate: bool = False
    """Write each image by itself too, with its prompt and settings in the PNG."""
    out: Path | None = None
    """PNG to write; by default in samples/ of a run folder, or else of the current folder."""

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("sample.py needs a caption. Pass --prompt 'red heart'.")
        eqd.check_solvers(self.solver)
        if self.out is not None and (self.out.suffix.lower() != ".png" or self.out.is_dir()):
            raise ValueError(f"--out is a file ending in .png, received {str(self.out)!r}.")
        eqd.check_counts(self, "count", "batch_size")


def main(config: Config) -> None:
    eqd.enable_compile_cache()
    ema, step, steps = config.ema, config.step, config.sampling_steps
    model = eqd.load_pretrained(
        config.model,
        tokenizer=config.tokenizer,
        prediction=config.prediction,
        ema=ema,
        step=step,
        sampling_steps=steps,
    )
    for file in config.lora:
        model = eqd.apply_lora(model, file, config.lora_scale)

    # Each caption is a row: all images of one guidance scale, then those of the next.
    scales = config.guidance_scale or (model.config.guidance_scale,)
    columns = [(scale, seed) for scale in scales for seed in range(config.count)]
    cells = [(prompt, scale, seed) for prompt in config.prompt for scale, seed in columns]
    captions, cell_scales, seeds = zip(*cells, strict=True)
    text_to_image = eqd.TextToImage(model, height=config.height, width=config.width)
    start = time.perf_counter()
    with eqd.Progress(len(cells), label="sampling", unit="images") as progress:
        progress.wait_for("compiling")
        images = text_to_image(
            captions,
            steps=steps,
            guidance_scale=cell_scales,
            solver=config.solver,
            grid=config.grid,
            negative_prompt=config.negative_prompt,
            seed=config.seed,
            seeds=seeds,
            rescale=config.rescale,
            batch_size=config.batch_size,
            report=progress.update,
        )
    seconds = time.perf_counter() - start

    labels = [f"w={scale:g}, image {number}" for _, scale, number in cells]
    step = eqd.run_step(config.model, ema=ema, step=step, sampling_steps=steps)
    beside = step is not None and not eqd.is_address(config.model)
    folder = Path(config.model, "samples") if beside else Path("samples")
    solver = config.solver or model.config.solver
    name = f"{solver.rpartition(':')[2]}_{steps or model.config.sampling_steps}.png"
    out, pixels = config.out or eqd.unused_path(folder / name), eqd.to_uint8(images)
    sheet = eqd.image_grid(pixels, labels, columns=len(columns), rows=config.prompt)
    eqd.save_png(out, sheet)
    if config.separate:
        common = {"model": config.model, "solver": name.removesuffix(".png"), "seed": config.seed}
        about = [common | {"prompt": p, "guidance_scale": w, "image": i} for p, w, i in cells]
        eqd.save_pngs(out.with_suffix(""), pixels, about)
    source = f"{config.model}" if step is None else f"step {step} of {config.model}"
    print(f"{len(images)} images of {source} in {seconds:.1f} s, compiling included: {out}")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
