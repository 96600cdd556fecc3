"""Converts weights: a run folder, a folder of diffusers, a single file of Stable Diffusion.

    python recipes/convert.py runs/emoji exported/                    # a run, for diffusers
    python recipes/convert.py exported/ model.safetensors             # a folder to a single file
    python recipes/convert.py model.safetensors folder/ --tokenizer exported/tokenizer
    python recipes/convert.py stable-diffusion-2-1/ half/ --dtype float16

The content of the source tells what it is. The name of the output tells its layout: a name that
ends in `.safetensors` is a single file with the names of the original code, any other a folder of
diffusers. A model that diffusers cannot hold becomes a folder of this library.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Converts weights: a run folder, a folder of diffusers, a single file of Stable Diffusion."""

    source: Annotated[Path, tyro.conf.Positional]
    """A run folder, a folder of diffusers or a .safetensors file."""
    out: Annotated[Path, tyro.conf.Positional]
    """A folder, or a file that ends in .safetensors. It must not exist yet."""
    layout: eqd.ModelLayout | None = None
    """Layout of the output; by default the one that its name tells."""
    dtype: Literal["stored", "float32", "float16", "bfloat16"] = "stored"
    """Of the tensors that are written; stored is each one's own."""
    tokenizer: Path | None = None
    """Folder of CLIP's vocabulary and merges, which a single file does not hold."""
    prediction: Literal["epsilon", "v_prediction"] | None = None
    """What the network of a single file predicts; by default noise for Stable Diffusion 1 and
    velocity for 2. (2's `base` predicts noise.)"""
    ema: str | None = None
    """Average of a run's weights, as in sample.py."""
    step: int | None = None
    """Step of a run's checkpoint; the newest by default."""
    names: bool = False
    """Print both names of every tensor, not only the number of tensors."""

    def __post_init__(self) -> None:
        if self.out.exists():
            raise ValueError(f"{self.out} exists and is not overwritten. Choose another name.")


def main(config: Config) -> None:
    model = eqd.load_pretrained(
        config.source,
        dtype="mapped",  # memory holds a few tensors at a time
        ema=config.ema,
        step=config.step,
        tokenizer=config.tokenizer,
        prediction=config.prediction,
    )
    layout = config.layout or eqd.default_layout(config.out, model)
    parts = eqd.part_tables(model, layout)  # refuses what the layout cannot hold
    dtype = None if config.dtype == "stored" else config.dtype
    eqd.save_pretrained(config.out, model, layout=layout, dtype=dtype)
    if config.names:
        for line in (line for part in parts for line in part.lines()):
            print(line)
    Console().print(eqd.summarise_parts(parts))
    print(f"Written: {config.out}")
    if layout == "diffusers" and not (config.out / "model_index.json").exists():
        print(
            "Without model_index.json: diffusers' pipeline shows its UNet the padding of captions, "
            "which this model was trained without. The classes of diffusers open the parts, "
            "sample.py opens the model."
        )
    if layout == "equildm":
        print("diffusers has no form for this model: load_pretrained opens it.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
