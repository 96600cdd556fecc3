"""`transformers`' own fast tokenizer for a folder."""

from typing import Any

import numpy as np
from transformers import AutoTokenizer


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Ids and mask of `config["captions"]` at `config["length"]` tokens. Saved to `config["save"]`
    if there is one."""
    tokenizer = AutoTokenizer.from_pretrained(config["folder"])
    if "save" in config:
        tokenizer.save_pretrained(config["save"])
    out = tokenizer(
        config["captions"],
        padding="max_length",
        truncation=True,
        max_length=config["length"],
        return_tensors="np",
    )
    return {"ids": out["input_ids"], "mask": out["attention_mask"]}
