"""diffusers' ControlNets of Stable Diffusion 1 to 3, with the weights that the test sends."""

from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, SD3ControlNetModel, SD3Transformer2DModel


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Its residuals, `skip0`, `skip1`, ... and `middle`. Arrays `weight_NAME` fill it.

    With `transformer`, the residuals and the output of Stable Diffusion 3's transformer with them;
    arrays `trunk_NAME` fill that one.
    """
    if "transformer" in config:
        return _sd3(config, arrays)
    levels = len(config["channels"])
    network = ControlNetModel(
        in_channels=4,
        block_out_channels=config["channels"],
        down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
        layers_per_block=config["layers"],
        cross_attention_dim=config["context_width"],
        attention_head_dim=8,
        norm_num_groups=config["groups"],
        conditioning_embedding_out_channels=(16, 32, 96, 256),
    )
    prefix = "weight_"
    weights = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=True)
    x, t, text, image = (torch.from_numpy(arrays[k]) for k in ("x", "t", "text", "image"))
    with torch.no_grad():
        skips, middle = network(
            x.permute(0, 3, 1, 2),
            t,
            text,
            controlnet_cond=image.permute(0, 3, 1, 2),
            return_dict=False,
        )
    residuals = {f"skip{i}": skip for i, skip in enumerate(skips)} | {"middle": middle}
    return {name: residual.permute(0, 2, 3, 1) for name, residual in residuals.items()}


def _sd3(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    networks = []
    for kind, fields, prefix in (
        (SD3ControlNetModel, config["control"], "weight_"),
        (SD3Transformer2DModel, config["transformer"], "trunk_"),
    ):
        network = kind(**fields)
        weights = {
            name.removeprefix(prefix): torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        missing, unexpected = network.load_state_dict(weights, strict=False)
        assert missing == ["pos_embed.pos_embed"] and not unexpected
        networks.append(network.eval())
    control, trunk = networks
    x, t, text, pooled, image = (
        torch.from_numpy(arrays[k]) for k in ("x", "t", "text", "pooled", "image")
    )
    inputs = {
        "hidden_states": x.permute(0, 3, 1, 2),
        "timestep": t,
        "encoder_hidden_states": text,
        "pooled_projections": pooled,
        "return_dict": False,
    }
    with torch.no_grad():
        (residuals,) = control(controlnet_cond=image.permute(0, 3, 1, 2), **inputs)
        (output,) = trunk(block_controlnet_hidden_states=residuals, **inputs)
    return {"residuals": torch.cat(list(residuals)), "output": output.permute(0, 2, 3, 1)}
