"""Converts weights: a run folder, a folder of diffusers, a single file of Stable Diffusion.

    python recipes/convert.py runs/emoji exported/                    # a run, for diffusers
    python recipes/convert.py exported/ model.safetensors             # a folder to a single file
    python recipes/convert.py model.safetensors folder/ --tokenizer exported/tokenizer
    python recipes/convert.py stable-diffusion-2-1/ half/ --dtype float16

What comes in is told by what it is, what goes out by its name: one that ends in `.safetensors` is
a single file in the names of the original code, any other a folder of diffusers.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import tyro
from rich.console import Console
from rich.table import Table
from sources import moving, read_model

from equildm.interop import (
    folder_tables,
    Pair,
    save_single_file,
    save_stable_diffusion,
    single_file_tables,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Converts weights: a run folder, a folder of diffusers, a single file of Stable Diffusion."""

    source: Annotated[Path, tyro.conf.Positional]
    """A run folder, a folder of diffusers or a .safetensors file."""
    out: Annotated[Path, tyro.conf.Positional]
    """A folder, or a file that ends in .safetensors. It must not exist yet."""
    dtype: Literal["stored", "float32", "float16", "bfloat16"] = "stored"
    """Of the tensors that are written; stored is each one's own."""
    tokenizer: Path | None = None
    """CLIP's vocabulary and merges: a single file does not hold them."""
    prediction: Literal["epsilon", "v_prediction"] | None = None
    """What the network of a single file predicts; by default noise for Stable Diffusion 1 and
    velocity for 2. (2's `base` predicts noise.)"""
    average: str | None = None
    """Which average of a run's weights, as in sample.py."""
    names: bool = False
    """Print every tensor with both its names, not only how many there are."""


def main(config: Config) -> None:
    if config.out.exists():
        raise ValueError(f"{config.out} exists and is not overwritten. Choose another name.")
    model = read_model(
        config.source,
        tokenizer=config.tokenizer,
        prediction=config.prediction,
        average=config.average,
        dtype="stored",
    )
    single = config.out.suffix == ".safetensors"
    tables = single_file_tables(model) if single else folder_tables(model)
    save = save_single_file if single else save_stable_diffusion
    with moving("writing", sum(size(module) for _, module, _ in tables)) as advance:
        dtype = None if config.dtype == "stored" else config.dtype
        save(config.out, model, dtype=dtype, advance=advance)
    if config.names:
        print_names(tables)
    Console().print(mapped(tables))
    print(f"Written: {config.out}")
    if not single and not (config.out / "model_index.json").exists():
        print(
            "Without model_index.json: diffusers' pipeline shows its UNet the padding of captions, "
            "which this model was trained without. Its classes open the parts, sample.py the whole."
        )


def mapped(tables: list[tuple[str, Any, list[Pair]]]) -> Table:
    """What became what, a line for each part."""
    table = Table("part", "module", title="mapped")
    for heading in ("tensors", "parameters", "MiB in memory"):
        table.add_column(heading, justify="right")
    for part, module, pairs in tables:
        tensors = len({pair.theirs for pair in pairs})
        count = sum(array.size for _, array in named_arrays(module))
        mebibytes = f"{size(module) / 2**20:,.1f}"
        table.add_row(part, type(module).__name__, f"{tensors}", f"{count:,}", mebibytes)
    return table


def print_names(tables: list[tuple[str, Any, list[Pair]]]) -> None:
    """Every array: our path, their name, our shape."""
    for part, module, pairs in tables:
        arrays = dict(named_arrays(module))
        for pair in pairs:
            shape = "x".join(map(str, arrays[pair.ours].shape))
            print(f"{part:13} {pair.ours:66} {pair.theirs:72} {shape}")


def size(module: Any) -> int:
    """Bytes of a module's arrays."""
    return sum(array.nbytes for _, array in named_arrays(module))


def named_arrays(module: Any) -> list[tuple[str, Any]]:
    """A module's arrays by the names that the tables give them."""
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(module, eqx.is_array))[0]
    return [(jax.tree_util.keystr(path, simple=True, separator="."), a) for path, a in leaves]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
