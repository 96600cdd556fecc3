"""The configs of the parts in a single file: recorded in its header, or inferred from shapes."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ..interop.infer_config import infer_clip_config, infer_unet_config, infer_vae_config
from ..interop.safetensors import SafetensorsFile
from ..interop.scheduler import Scheduler
from ..interop.unet_config import unet_of
from ..latents import VAEConfig
from ..noise import Epsilon, Velocity
from ..pipeline import ModelConfig
from ..runtime import from_json, to_json
from ..text import CLIPConfig
from .diffusers_folder import stable_diffusion_config

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPENCLIP = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
"""Prefixes of the parts' names."""
NAME = "equildm"
"""Name of the record in the header."""

PredictionKind = Literal["epsilon", "v_prediction"]


@dataclasses.dataclass(frozen=True)
class SingleFileRecord:
    """The configs of the parts."""

    model: ModelConfig
    """The model, as it is sampled."""
    vae: VAEConfig
    """Sizes of the VAE."""
    text: CLIPConfig
    """Sizes of the text tower."""
    padding: bool = True
    """Whether the padding of captions counts, see `CLIPText`."""

    def metadata(self) -> dict[str, str]:
        """What the header holds."""
        return {NAME: json.dumps(to_json(self))}


def read_record(file: SafetensorsFile) -> SingleFileRecord | None:
    """The record in a file's header, or None.

    **Raises** `ValueError` naming the file, for a broken record.
    """
    text = file.metadata.get(NAME)
    if text is None:
        return None
    try:
        return from_json(SingleFileRecord, json.loads(text), NAME)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{file.path}: the configs in its header are broken: {error}") from error


def infer_record(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    prediction: PredictionKind | None = None,
    heads: int | Sequence[int] | None = None,
    scale: float = 0.18215,
) -> SingleFileRecord:
    """The configs inferred from the shapes of a file's tensors.

    **Arguments:** the file's path, for errors, its shapes, and see `load_single_file`.

    **Raises** `ValueError` naming the file and a tensor that is missing or has a strange shape.
    """
    open_clip = is_open_clip(shapes)
    try:
        unet = infer_unet_config(_below(shapes, UNET), heads)
        vae = infer_vae_config(_below(shapes, VAE), scale)
        text = infer_clip_config(_below(shapes, OPENCLIP if open_clip else CLIP), open_clip)
    except (LookupError, ValueError, ZeroDivisionError) as error:
        reason = f"there is no tensor {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path} must hold a Stable Diffusion in its original names, and does not: {reason}."
        ) from error
    if prediction is None:
        prediction = "v_prediction" if unet_of(unet)[0].context_width > 768 else "epsilon"
    velocity = prediction == "v_prediction"
    scheduler = Scheduler(prediction=Velocity() if velocity else Epsilon())
    side = 96 if velocity else 64
    config = stable_diffusion_config(unet, vae, text.longest, scheduler, side)
    return SingleFileRecord(config, vae, text)


def is_open_clip(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the text tower has OpenCLIP's names."""
    return f"{OPENCLIP}token_embedding.weight" in shapes


def _below(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
    start = len(prefix)
    return {name[start:]: shape for name, shape in shapes.items() if name.startswith(prefix)}
