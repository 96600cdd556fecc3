"""Text encoders of `transformers`, made at random or opened from a folder."""

from typing import Any

import numpy as np
import torch
import transformers


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The last and the penultimate hidden states of `ids` (and `mask`), both normed for CLIP.

    With `config["sizes"]` a `config["class"]` is made, its every parameter drawn at random, and
    saved to `config["folder"]`, the `config["save"]` being options of `save_pretrained`, in
    `config["dtype"]`. It is then read from the folder, in float32.
    """
    make = getattr(transformers, config["class"])
    if "sizes" in config:
        model = make(make.config_class(**config["sizes"]))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                _randomise(name, parameter)
        dtype = getattr(torch, config.get("dtype", "float32"))
        model.to(dtype).save_pretrained(config["folder"], **config.get("save", {}))
    model, info = make.from_pretrained(
        config["folder"], dtype=torch.float32, output_loading_info=True
    )
    problems = set(info["missing_keys"]) | set(info["unexpected_keys"])
    assert not {name for name in problems if not name.startswith("pooler.")}, info
    model = getattr(model, "text_model", model).eval()
    if "ids" not in arrays:
        return {}
    inputs = {"input_ids": torch.from_numpy(arrays["ids"]).long()}
    if "mask" in arrays:
        inputs["attention_mask"] = torch.from_numpy(arrays["mask"]).long()
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True)
        penultimate = out.hidden_states[-2]
        if hasattr(model, "final_layer_norm"):
            penultimate = model.final_layer_norm(penultimate)
    return {"last": out.last_hidden_state, "penultimate": penultimate}


def _randomise(name: str, parameter: torch.Tensor) -> None:
    """Of a size at which every part matters and the attention is neither flat nor one token."""
    if parameter.ndim < 2:
        parameter.normal_(1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0, 0.3)
    elif "embed" in name or "shared" in name or "relative" in name:
        parameter.normal_()
    else:
        parameter.normal_(std=parameter.shape[-1] ** -0.5)
