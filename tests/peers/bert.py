"""`transformers.BertModel` with given weights."""

from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The last hidden states of `ids`, `mask`; `config` is BertConfig's, other arrays are weights
    by their names."""
    model = BertModel(BertConfig(**config), add_pooling_layer=False).eval()
    weights = {k: torch.from_numpy(v) for k, v in arrays.items() if k not in ("ids", "mask")}
    # Position ids are a buffer that the model makes itself; the pooler is left out.
    missing, extra = model.load_state_dict(weights, strict=False)
    assert not missing and not extra, (missing, extra)
    with torch.no_grad():
        out = model(
            input_ids=torch.from_numpy(arrays["ids"]).long(),
            attention_mask=torch.from_numpy(arrays["mask"]).long(),
        )
    return {"tokens": out.last_hidden_state}
