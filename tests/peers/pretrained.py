"""diffusers' models with every parameter random, in the folders that their own savers write."""

from typing import Any

import diffusers
import numpy as np
import torch

Arrays = dict[str, np.ndarray]


def run(config: dict[str, Any], arrays: Arrays) -> dict[str, torch.Tensor]:
    """What the model `config["class"]` answers to the arrays.

    With `save` it is made from `config["config"]`, filled and saved into that folder in
    `config["dtype"]`, in files of `config["shard"]` at most; with `load` it is read from there.
    """
    kind = getattr(diffusers, config["class"])
    if "save" in config:
        model = randomised(kind(**config["config"]).eval())
        if config["class"] == "DiTTransformer2DModel":
            _share_embeddings(model)
        model.to(getattr(torch, config.get("dtype", "float32")))
        model.save_pretrained(config["save"], max_shard_size=config.get("shard", "10GB"))
    else:
        model = kind.from_pretrained(config["load"], low_cpu_mem_usage=False).eval()
    with torch.no_grad():
        return _ANSWERS[config["class"]](model.float(), arrays) if arrays else {}


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Every parameter moved off its initial value, so that scales and biases are seen as well."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def _share_embeddings(model: Any) -> None:
    """In DiT's own weights every block's copy of the embeddings is the same."""
    first = model.transformer_blocks[0].norm1.emb.state_dict()
    for block in model.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(first)


def _transformer(model: Any, arrays: Arrays) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    x, t = tensors.pop("x").permute(0, 3, 1, 2), tensors.pop("t")
    out = model(hidden_states=x, timestep=t, return_dict=False, **tensors)[0]
    return {"output": out.permute(0, 2, 3, 1)}


def _unet(model: Any, arrays: Arrays) -> dict[str, torch.Tensor]:
    x, t, text = (torch.from_numpy(arrays[name]) for name in ("x", "t", "text"))
    weight = torch.from_numpy(arrays["weight"]) if "weight" in arrays else None
    out = model(x.permute(0, 3, 1, 2), t, text, timestep_cond=weight, return_dict=False)[0]
    return {"output": out.permute(0, 2, 3, 1)}


def _vae(model: Any, arrays: Arrays) -> dict[str, torch.Tensor]:
    image, latent = (torch.from_numpy(arrays[n]).permute(0, 3, 1, 2) for n in ("image", "latent"))
    posterior = model.encode(image).latent_dist
    outputs = {"mean": posterior.mean, "log_variance": posterior.logvar}
    outputs["decoded"] = model.decode(latent).sample
    return {name: value.permute(0, 2, 3, 1) for name, value in outputs.items()}


_ANSWERS = {
    "UNet2DConditionModel": _unet,
    "AutoencoderKL": _vae,
    **dict.fromkeys(
        ("DiTTransformer2DModel", "PixArtTransformer2DModel", "SD3Transformer2DModel"), _transformer
    ),
}
