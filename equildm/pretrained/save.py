"""Writing a model for others to open."""

import os
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
from jax.typing import DTypeLike
from jaxtyping import PyTree

from ..interop.read_array import check_dtype
from ..pipeline import LatentDiffusion
from ..runtime import replacing
from .frozen_parts import frozen_tables
from .layouts import ModelLayout
from .own_folder import own_table, save_own
from .part_table import PartTable
from .progress import byte_progress
from .public_folders import kind_of_model
from .single_file import save_single_file, single_file_tables


def save_pretrained(
    path: str | os.PathLike[str],
    model: LatentDiffusion,
    *,
    layout: ModelLayout | None = None,
    dtype: DTypeLike | None = None,
) -> None:
    """Writes a model that `load_pretrained` opens. An interrupted call leaves nothing at `path`.

    **Arguments:**

    - `path`: must not exist.
    - `model`: any model, on devices of this process.
    - `layout`: `"diffusers"` writes a folder that diffusers opens, `"single-file"` one file with
        the names of the original Stable Diffusion, `"equildm"` a folder that holds any model
        exactly; by default see `default_layout`.
    - `dtype`: of the floating tensors in the files, by default as in memory.

    **Raises** `ValueError` for a path that exists, for a layout that cannot hold the model, and for
    a dtype that is not floating.
    """
    check_dtype(dtype)
    path = Path(path)
    if path.exists():
        raise ValueError(f"{path} exists and is not overwritten. Choose another name.")
    layout = layout or default_layout(path, model)
    savers: dict[ModelLayout, Callable[..., None]] = {
        "diffusers": kind_of_model(model).save,
        "single-file": save_single_file,
        "equildm": save_own,
    }
    total = sum(_nbytes(part) for part in (model.network, model.vae, model.text_encoder))
    path.parent.mkdir(parents=True, exist_ok=True)
    with byte_progress("writing", total) as advance, replacing(path) as temporary:
        savers[layout](temporary, model, dtype=dtype, advance=advance)


def default_layout(path: str | os.PathLike[str], model: LatentDiffusion) -> ModelLayout:
    """The layout for a path.

    It is a single file for a name that ends in `.safetensors`; else a folder of diffusers, if that
    holds the model; else the folder of this library.
    """
    if Path(path).suffix == ".safetensors":
        return "single-file"
    return "diffusers" if kind_of_model(model).fits(model) else "equildm"


def part_tables(model: LatentDiffusion, layout: ModelLayout) -> list[PartTable]:
    """The parts of a model with the names of their tensors in a layout.

    **Raises** `ValueError` for a layout that cannot hold the model.
    """
    if layout == "diffusers":
        return kind_of_model(model).tables(model)
    if layout == "single-file":
        return single_file_tables(model)
    network = PartTable("network", model.network, own_table(model.network))
    return [network, *frozen_tables(model)]


def _nbytes(module: PyTree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_array)))
