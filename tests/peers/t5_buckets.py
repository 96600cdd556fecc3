"""The kinds of relative positions of `transformers`' T5."""

from typing import Any

import numpy as np
import torch
from transformers.models.t5.modeling_t5 import T5Attention


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """For every pair (query, key) of `config["tokens"]` positions."""
    positions = torch.arange(config["tokens"])
    kinds = T5Attention._relative_position_bucket(
        positions[None, :] - positions[:, None],
        num_buckets=config["buckets"],
        max_distance=config["distance"],
    )
    return {"buckets": kinds}
