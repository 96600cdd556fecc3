"""LoRA files in and out: the layouts of diffusers, of peft and of kohya's trainer.

A layer's factors are named after its weight, so that a network's table serves its adapters too.

    diffusers   unet.down_blocks.0. ... .attn1.to_q.lora_A.weight     and .lora_B.weight
    older       unet.down_blocks.0. ... .attn1.to_q.lora.down.weight  and .lora.up.weight
                unet.down_blocks.0. ... .attn1.processor.to_q_lora.down.weight
                text_encoder.text_model. ... .q_proj.lora_linear_layer.down.weight
    peft        base_model.model.down_blocks.0. ... .attn1.to_q.lora_A.weight
    kohya       lora_unet_down_blocks_0_ ... _attn1_to_q.lora_down.weight, .lora_up.weight, .alpha

kohya's names may also be those of the original code (`lora_unet_input_blocks_1_1_ ...`): pass
`compvis_unet_table`. Where the file has no `.alpha` beside the factors, alpha comes from the
header's `lora_adapter_metadata` (diffusers) or from `adapter_config.json` (peft). Without these it
is the rank.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ..nn import Adapters, LoRAWeights
from .config import BROKEN
from .lora_names import alpha_of, Layer, LayerNames, PARTS, Role
from .pairs import Pair
from .safetensors import SafetensorsFile
from .saving import save_safetensors

PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
DIFFUSERS_FILE = "pytorch_lora_weights.safetensors"
_CHANGE_WEIGHTS = ("pissa", "olora", "loftq", "corda")
"""Initialisations of peft that take the adapter out of the base weights."""

Tensors = Mapping[str, np.ndarray]
Tables = Mapping[str, Sequence[Pair]]


def read_lora(source: str | os.PathLike[str] | Tensors, tables: Tables) -> dict[str, Adapters]:
    """Reads a LoRA of any of the layouts above, float32 in memory.

    **Arguments:**

    - `source`: a safetensors file, a folder with such a file as diffusers or peft name it, or
        tensors by name.
    - `tables`: `{"unet": unet_table(config), "text_encoder": clip_table(depth)}`, or one of them.

    **Returns:** the adapters of each part that the file has, for `with_lora_layers`, `merge_lora`.

    **Raises** `ValueError` naming the tensor that belongs to another kind of adapter or to a layer
    that is in no table, that has no counterpart, or that has a wrong shape.
    """
    tensors, configs = (source, {}) if isinstance(source, Mapping) else _open(Path(source))
    names = LayerNames(tables)
    layers: dict[Layer, dict[Role, str]] = {}
    adapters: dict[str, Adapters] = {}
    try:
        for key in tensors:
            layer, role = names.find(key)
            keys = layers.setdefault(layer, {})
            if role in keys:
                raise ValueError(f"'{key}' and '{keys[role]}' are the same tensor of one layer.")
            keys[role] = key
        for layer, keys in layers.items():
            config = configs.get(layer.part, configs.get("", {}))
            adapters.setdefault(layer.part, {})[layer.ours] = _factors(layer, keys, tensors, config)
        if not layers:
            raise ValueError("A LoRA has tensors for layers of its model, received none.")
    except ValueError as error:
        if isinstance(source, Mapping):
            raise
        raise ValueError(f"{source}: {error}") from error
    return adapters


def save_lora(
    path: str | os.PathLike[str],
    adapters: Mapping[str, Adapters],
    tables: Tables,
    *,
    layout: Literal["peft", "kohya"] = "peft",
    dtype: DTypeLike = "float32",
) -> None:
    """Writes a LoRA that diffusers' `load_lora_weights` opens, and most other programs.

    **Arguments:**

    - `path`: the file; diffusers looks for `pytorch_lora_weights.safetensors` in a folder.
    - `adapters`: of each part, as `read_lora` returns them.
    - `tables`: as for `read_lora`.
    - `layout`: `"peft"`, which is diffusers' own layout today, or `"kohya"`. Not every program
        reads an `alpha` from the first, so that `up` is multiplied by `alpha / rank` there. The
        second keeps `alpha`, but diffusers (0.42) uses the commonest alpha of such a file for
        every attention layer.
    - `dtype`: of the tensors in the file.
    """
    if layout not in ("peft", "kohya"):
        raise ValueError(f"A LoRA is written as 'peft' or 'kohya', received {layout!r}.")
    names = LayerNames(tables)
    tensors = {}
    for part, factors_of in adapters.items():
        layers = names.of_ours(part)
        for ours, factors in factors_of.items():
            if ours not in layers:
                raise ValueError(
                    f"The table of '{part}' has no layer '{ours}'. Give that of its network."
                )
            tensors.update(_tensors(layers[ours], factors, layout))
    target = jnp.dtype(dtype)
    save_safetensors(path, {name: array.astype(target) for name, array in tensors.items()})


def _open(path: Path) -> tuple[Tensors, dict[str, dict[str, Any]]]:
    """The tensors, and peft's configuration of each part or, by the name "", of all."""
    if path.is_dir():
        files = [path / name for name in (DIFFUSERS_FILE, PEFT_FILE) if (path / name).is_file()]
        if not files:
            raise ValueError(f"{path} holds neither {DIFFUSERS_FILE} nor {PEFT_FILE}.")
        path = files[0]
    file = SafetensorsFile(path)
    config_file = path.with_name(PEFT_CONFIG)
    if path.name == PEFT_FILE and config_file.is_file():
        source, text = config_file, config_file.read_text(encoding="utf-8")
    else:
        source, text = path, file.metadata.get("lora_adapter_metadata", "{}")
    try:
        fields = json.loads(text)
        configs: dict[str, dict[str, Any]] = {}
        for field, value in fields.items():
            part, _, name = field.rpartition(".")
            configs.setdefault(part, {})[name] = value
    except BROKEN as error:
        raise ValueError(f"{source} must describe a LoRA, and does not: {error}.") from error
    for fields in configs.values():
        begun = str(fields.get("init_lora_weights"))
        if begun.partition("_")[0] in _CHANGE_WEIGHTS:
            raise ValueError(
                f"Adapters are added to the weights that they were trained on; {source} has "
                f"init_lora_weights {begun!r}, which changed those. Convert them to plain LoRA: "
                "peft's save_pretrained(..., path_initial_model_for_weight_conversion=...)."
            )
    return file, configs


def _factors(
    layer: Layer, keys: Mapping[Role, str], tensors: Tensors, config: Mapping[str, Any]
) -> LoRAWeights:
    for role in ("down", "up"):
        if role not in keys:
            raise ValueError(f"'{next(iter(keys.values()))}' is there without its {role} factor.")
    down, up = (_transformed(layer, keys[role], tensors[keys[role]]) for role in ("down", "up"))
    rank = down.shape[-1]
    if up.shape[:-1] != (1,) * (down.ndim - 2) + (rank,):
        raise ValueError(
            f"'{keys['down']}' has rank {rank}, and '{keys['up']}' of shape "
            f"{tensors[keys['up']].shape} does not take that up."
        )
    if "alpha" in keys:
        array = tensors[keys["alpha"]]
        if array.size != 1:
            raise ValueError(f"'{keys['alpha']}' must be one number, received shape {array.shape}.")
        alpha = float(array.reshape(()))
    else:
        alpha = alpha_of(config, layer, rank)
    down, up = (np.array(a, np.float32, order="C") for a in (down, up.reshape(rank, -1)))
    return LoRAWeights(jax.device_put(down), jax.device_put(up), alpha)


def _transformed(layer: Layer, key: str, theirs: np.ndarray) -> np.ndarray:
    transform = layer.pair.transform
    try:
        ours = transform.read(theirs)
        fits = ours.ndim in (2, 4) and transform.write(ours).shape == theirs.shape
        fits = fits and ours.size > 0 and jnp.issubdtype(ours.dtype, jnp.floating)
    except (ValueError, IndexError):
        fits = False
    if not fits:
        raise ValueError(
            f"'{key}' of shape {theirs.shape} and type {theirs.dtype} is no factor of a weight as "
            f"'{layer.theirs}' has it."
        )
    return ours


def _tensors(layer: Layer, factors: LoRAWeights, layout: str) -> dict[str, np.ndarray]:
    down, up = np.asarray(factors.down), np.asarray(factors.up)
    up = up.reshape((1,) * (down.ndim - 2) + up.shape)
    down, up = (layer.pair.transform.write(array) for array in (down, up))
    alpha, rank = factors.alpha, factors.up.shape[0]
    if layout == "peft":
        name = f"{PARTS[layer.part][0]}{layer.theirs}"
        return {
            f"{name}.lora_A.weight": down,
            f"{name}.lora_B.weight": up * np.float32(alpha / rank),
        }
    name = PARTS[layer.part][1] + layer.theirs.replace(".", "_")
    return {
        f"{name}.lora_down.weight": down,
        f"{name}.lora_up.weight": up,
        f"{name}.alpha": np.asarray(alpha, np.float32),
    }
