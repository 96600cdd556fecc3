"""`model.json` of a run folder, and the frozen parts beside it.

model.json       the model's config, and which part of the model is in the checkpoints
vae/             the VAE, as diffusers saves it
text_encoder/    the text encoder with its tokenizer/, unless it is the packaged MiniLM
base/            the frozen part of the network
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from ..interop import load_minilm, load_text_encoder, load_vae, save_text_encoder, save_vae
from ..interop.config import read_config, write_config
from ..interop.text_encoders import text_table
from ..latents import VAE
from ..pipeline import LatentDiffusion, ModelConfig
from ..runtime import Checkpoints, from_json, on_first_process, replacing, Run, to_json
from ..runtime.format_1 import upgrade_model
from ..text import AbstractTextEncoder, MiniLM
from ..training import AbstractTrainedPart, AllWeights, EMAName
from .model_json import MODEL

_ALL = AllWeights()


@dataclasses.dataclass(frozen=True)
class RunModelConfig:
    """A model, and the form in which a run's checkpoints hold it."""

    model: ModelConfig
    """The model."""
    ema: EMAName | None = None
    """Averages of the weights in checkpoints that do not name them, of earlier versions."""
    trained: AbstractTrainedPart = AllWeights()
    """The part of the network that was trained."""
    trains_text_encoder: bool = False
    """Whether the text encoder was trained with the network."""
    stages: tuple[tuple[int, int], ...] = ()
    """Of a distillation in stages: `(sampling steps, training step)` of each student."""

    def stage(self, sampling_steps: int) -> int | None:
        """The training step at which the student for `sampling_steps` was finished.

        If there is no such student, it is the next one for fewer steps, or else the one for the
        fewest. None for a run without stages.
        """
        below = [stage for stage in self.stages if stage[0] <= sampling_steps]
        return max(below)[1] if below else min(self.stages, default=(0, None))[1]


def is_run(path: Path) -> bool:
    """Whether a folder is a run with a model."""
    return (path / "config.json").is_file() and (path / MODEL).is_file()


def read_run_model(run: Run) -> RunModelConfig:
    """Reads `model.json`, also of a run folder of format 1.

    **Raises** `ValueError` naming the file and the field that is missing or wrong.
    """
    return read_config(
        run.path,
        "the model of a run",
        lambda fields: from_json(RunModelConfig, upgrade_model(fields), "the model"),
        file=MODEL,
    )


def begin_run(
    run: Run,
    model: LatentDiffusion,
    *,
    trained: AbstractTrainedPart = _ALL,
    frozen: PyTree | None = None,
    trains_text_encoder: bool = False,
    stages: Sequence[tuple[int, int]] = (),
) -> None:
    """Writes into the run folder all that `load_pretrained` needs, except the trained weights.

    Parts that an earlier launch wrote are left unchanged.

    **Arguments:**

    - `run`: see `Run.prepare`. One at an address is copied to there.
    - `model`: gives the VAE and the text encoder, which lie on devices of this process.
    - `trained`, `frozen`: which part of the network is trained, and the rest of it.
    - `trains_text_encoder`, `stages`: see `RunModelConfig`.

    **Raises** `ValueError` for a text encoder that a run folder cannot hold.
    """
    config = RunModelConfig(model.config, None, trained, trains_text_encoder, tuple(stages))
    if not is_packaged(model.text_encoder):
        text_table(model.text_encoder)  # refuses an encoder that no folder holds, and makes none
    run.make()

    def save() -> None:
        if not (run.path / "vae").exists():
            with replacing(run.path / "vae") as folder:
                save_vae(folder, model.vae)
        encoder = model.text_encoder
        if not is_packaged(encoder) and not (run.path / "text_encoder").exists():
            shutil.rmtree(run.path / "tokenizer", ignore_errors=True)  # of a launch that was killed
            with (
                replacing(run.path / "text_encoder") as weights,
                replacing(run.path / "tokenizer") as words,
            ):
                save_text_encoder(weights, encoder, words)
        write_config(run.path, to_json(config), file=MODEL)

    on_first_process("run model", save)
    run.push()
    if frozen is not None:
        with Checkpoints(run.base) as base:
            if base.latest() is None:
                base.save(0, {"model": eqx.filter(frozen, eqx.is_array)}, {})


def open_parts(
    run: Run,
    *,
    vae: Path | None = None,
    text_encoder: Path | None = None,
    max_tokens: int = 16,
) -> tuple[VAE, AbstractTextEncoder]:
    """The VAE and the text encoder of a run: its own copies, or before its first launch these.

    **Arguments:**

    - `run`: the run, of which nothing need be written yet. What a launch left that ended before its
        first checkpoint does not count, unless the run goes on.
    - `vae`: folder of a VAE; by default the one that ships with this package.
    - `text_encoder`: folder of a CLIP, BERT or T5, or of a pipeline with one; by default MiniLM.
    - `max_tokens`: tokens that a caption is padded or cut to.
    """
    return load_vae(vae_folder(run, vae)), _open_text_encoder(run, text_encoder, max_tokens)


def vae_folder(run: Run, vae: Path | None) -> Path | None:
    """The run's own copy of its VAE; `vae` before its first launch."""
    return run.path / "vae" if _has_own(run, "vae") else vae


def _has_own(run: Run, part: str) -> bool:
    return (run.path / part).exists() and not run.anew


def _open_text_encoder(run: Run, folder: Path | None, max_tokens: int) -> AbstractTextEncoder:
    if _has_own(run, "text_encoder"):
        folder = run.path
    if folder is None:
        return load_minilm(max_tokens=max_tokens)
    nested = (folder / "text_encoder", folder / "tokenizer")
    parts = nested if nested[0].is_dir() else (folder,)
    return load_text_encoder(*parts, max_tokens=max_tokens)


def is_packaged(encoder: AbstractTextEncoder) -> bool:
    """Whether an encoder equals the packaged MiniLM, array by array. Then a run needs no copy."""
    if not isinstance(encoder, MiniLM):
        return False
    try:
        packaged = load_minilm(max_tokens=encoder.max_tokens)
    except ModuleNotFoundError:
        return False
    same = eqx.tree_equal(*jax.tree.map(np.asarray, (packaged.bert, encoder.bert)))
    return bool(same)
