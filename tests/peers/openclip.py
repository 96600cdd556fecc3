"""OpenCLIP's text tower by the names of its tensors, on `torch.nn.MultiheadAttention`."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The normed last and penultimate layers of `ids`; the other arrays are the weights."""
    weights = {k: torch.from_numpy(v) for k, v in arrays.items() if k != "ids"}
    ids = torch.from_numpy(arrays["ids"]).long()
    x = weights["token_embedding.weight"][ids] + weights["positional_embedding"]
    tokens, width = x.shape[1:]
    future = torch.full((tokens, tokens), float("-inf")).triu(1)
    layers = []
    with torch.no_grad():
        for i in range(config["depth"]):
            prefix = f"transformer.resblocks.{i}."
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            attention = nn.MultiheadAttention(width, config["heads"], batch_first=True)
            attention.load_state_dict(
                {k.removeprefix("attn."): v for k, v in own.items() if k.startswith("attn.")}
            )
            y = F.layer_norm(x, (width,), own["ln_1.weight"], own["ln_1.bias"])
            x = x + attention(y, y, y, need_weights=False, attn_mask=future)[0]
            y = F.layer_norm(x, (width,), own["ln_2.weight"], own["ln_2.bias"])
            y = F.gelu(F.linear(y, own["mlp.c_fc.weight"], own["mlp.c_fc.bias"]))
            x = x + F.linear(y, own["mlp.c_proj.weight"], own["mlp.c_proj.bias"])
            layers.append(x)
        final = weights["ln_final.weight"], weights["ln_final.bias"]
        last, penultimate = (F.layer_norm(layers[-i], (width,), *final) for i in (1, 2))
    return {"last": last, "penultimate": penultimate}
