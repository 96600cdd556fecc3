"""diffusers' ControlNet of Stable Diffusion's structure, with the weights that the test sends."""

from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Its residuals, `skip0`, `skip1`, ... and `middle`. Arrays `weight_NAME` fill it."""
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
