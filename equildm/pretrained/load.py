"""Opening a trained model of any layout."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import PyTree

from ..interop import Scheduler
from ..interop.read_array import check_dtype, keeps_types
from ..pipeline import LatentDiffusion
from ..runtime import Run
from ..runtime.near import near_runs
from ..text import TextConditioned
from .diffusers_folder import is_diffusers_folder
from .own_folder import is_own_folder, load_own
from .progress import byte_progress
from .public_folders import kind_of_folder
from .run_model import is_run, open_parts, read_run_model
from .run_weights import read_network, training_step
from .shipped import model_path
from .single_file import load_single_file
from .single_file_record import PredictionKind


def load_pretrained(
    path: str | os.PathLike[str],
    *,
    mesh: Mesh | None = None,
    dtype: DTypeLike = "float32",
    ema: str | None = None,
    step: int | None = None,
    sampling_steps: int | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    prediction: PredictionKind | None = None,
    scheduler: Scheduler | None = None,
) -> LatentDiffusion:
    """Opens a run folder, a folder of `save_pretrained` or of diffusers, or a single file.

        model = load_pretrained("emoji")    # the model that ships with this package
        images = TextToImage(model)(["red heart"], steps=20, guidance_scale=3)

    **Arguments:**

    - `path`: the folder or file. Its content tells which of these it is. A folder may lie at an
        address such as `gs://bucket/runs/emoji`, as text; it is copied to this machine. `"emoji"`
        is the model that ships, unless the current folder holds something of that name.
    - `mesh`: where the network goes, each array straight to its shards; by default on the first
        device. VAE and text encoder are on the first device.
    - `dtype`: of the floating arrays in memory; `"stored"` keeps the files' own. `"mapped"` keeps
        them too, and leaves the weights in the files: numpy arrays, of which only what is used is
        read, for instance to save them in another layout. `jax.device_put(model)` reads them. A
        compiled function that is given mapped weights reads them at each call. Of a run folder,
        whose checkpoints cannot be mapped, it is the same as `"stored"`.
    - `ema`: an average of a run's weights: by name, `"none"` for the weights as trained, or a
        relative width such as `"0.07"` where the run has snapshots. By default the first average.
    - `step`: of a run's checkpoint or snapshot; the newest by default.
    - `sampling_steps`: of a run that was distilled in stages: selects the student for this number
        of sampling steps. Other models ignore it.
    - `tokenizer`: for a single file: the folder of CLIP's vocabulary and merges.
    - `prediction`: for a single file: what the network predicts, see `load_single_file`.
    - `scheduler`: for a folder of diffusers: instead of its own, for instance
        `Scheduler(prediction=Velocity())` where that is of a class that is not sampled here.

    **Raises** `ValueError` naming the path and what is missing or wrong.
    """
    if not keeps_types(dtype):
        check_dtype(dtype)
    location, path = path, model_path(path)
    if not path.exists():
        raise ValueError(
            f"There is no {path}. Give a run folder, a folder of diffusers, a .safetensors file or "
            f"'emoji', the model that ships. pretrain.py makes runs/emoji.{near_runs(path)}"
        )
    if path.is_dir() and not (tokenizer is None and prediction is None):
        raise ValueError(
            f"{path} is a folder, which holds a tokenizer and records the prediction. `tokenizer` "
            "and `prediction` are for single files: leave them out."
        )
    if scheduler is not None and (not path.is_dir() or is_run(path) or is_own_folder(path)):
        raise ValueError(
            f"{path} is no folder of diffusers and records how it is sampled. `scheduler` is for "
            "folders of diffusers: leave it out, and name `solver` and `grid` to sample otherwise."
        )
    if is_run(path):
        return _load_run(Run.open(location), mesh, dtype, ema, step, sampling_steps)
    if ema is not None or step is not None:
        raise ValueError(
            f"{path} is no run folder, and has neither averages nor checkpoints: leave `ema` and "
            "`step` out."
        )
    with byte_progress("reading", _nbytes(path)) as advance:
        if is_own_folder(path):
            return load_own(path, dtype=dtype, mesh=mesh, advance=advance)
        if is_diffusers_folder(path):
            load_folder = kind_of_folder(path).load
            return load_folder(path, dtype=dtype, mesh=mesh, scheduler=scheduler, advance=advance)
        if path.is_dir():
            raise ValueError(
                f"{path} holds no model. A run folder has config.json and model.json, a folder of "
                "diffusers model_index.json or unet/. (A run of train_vae.py holds a VAE alone.)"
            )
        if tokenizer is None:
            raise ValueError(
                f"{path} is a single file, which does not hold CLIP's vocabulary: give a folder "
                "with vocab.json and merges.txt as `tokenizer`."
            )
        return load_single_file(
            path, tokenizer, prediction=prediction, dtype=dtype, mesh=mesh, advance=advance
        )


def run_step(
    path: str | os.PathLike[str],
    *,
    ema: str | None = None,
    step: int | None = None,
    sampling_steps: int | None = None,
) -> int | None:
    """The training step of the weights that `load_pretrained` opens, or None for no run folder.

    **Arguments:** those of `load_pretrained`.
    """
    if not is_run(model_path(path)):
        return None
    run = Run.open(path)
    config = read_run_model(run)
    return training_step(run, config, ema=ema, step=step, sampling_steps=sampling_steps)


def _load_run(
    run: Run,
    mesh: Mesh | None,
    dtype: DTypeLike,
    ema: str | None,
    step: int | None,
    sampling_steps: int | None,
) -> LatentDiffusion:
    config = read_run_model(run)
    step = training_step(run, config, ema=ema, step=step, sampling_steps=sampling_steps)
    vae, text_encoder = open_parts(run, max_tokens=config.model.max_tokens)
    network: Any = read_network(run, config, text_encoder, ema=ema, step=step, mesh=mesh)
    if isinstance(network, TextConditioned):
        network, text_encoder = network.network, network.text
    if not keeps_types(dtype):
        network, vae, text_encoder = _cast((network, vae, text_encoder), dtype)
    return LatentDiffusion(network, vae, text_encoder, config.model)


def _cast(tree: PyTree, dtype: DTypeLike) -> PyTree:
    def cast(leaf: PyTree) -> PyTree:
        floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
        return leaf.astype(dtype) if floating else leaf

    return jax.tree.map(cast, tree)


def _nbytes(path: Path) -> int:
    files = list(path.rglob("*.safetensors")) if path.is_dir() else [path]
    return sum(os.path.getsize(file) for file in files if file.is_file())
