"""PyTorch's resize without antialiasing, which the published degradations use."""

from typing import Any

import numpy as np
import torch


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """`x` (height, width, channels) at `config["size"]` by `config["mode"]`."""
    x = torch.from_numpy(arrays["x"]).permute(2, 0, 1)[None]
    y = torch.nn.functional.interpolate(x, size=tuple(config["size"]), mode=config["mode"])
    return {"y": y[0].permute(1, 2, 0)}
