"""diffusers' UNet of Stable Diffusion's structure, with the weights that the test hands over."""

from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Its output, and the gradient of the sum of squares by `x`. Arrays `weight_NAME` fill it."""
    levels = len(config["channels"])
    network = UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=config["channels"],
        down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
        layers_per_block=config["layers"],
        cross_attention_dim=config["context_width"],
        attention_head_dim=8,
        norm_num_groups=config["groups"],
    )
    prefix = "weight_"
    weights = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, strict=True)
    x, t, text, mask = (torch.from_numpy(arrays[k]) for k in ("x", "t", "text", "mask"))
    x.requires_grad_()
    out = network(x.permute(0, 3, 1, 2), t, text, encoder_attention_mask=mask, return_dict=False)[
        0
    ].permute(0, 2, 3, 1)
    out.square().sum().backward()
    return {"output": out, "gradient": x.grad}
