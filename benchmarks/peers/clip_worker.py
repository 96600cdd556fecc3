"""PyTorch's side of `benchmarks/embed_prompt.py`: transformers' CLIPTextModel, in float32.

Configuration, as JSON: the fields of `Config`. Command: `embed`, answered with `seconds`.
"""

import dataclasses
import os
import time
from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModel

from benchmarks.peers._serve import Command, serve


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the tower."""

    width: int
    depth: int
    heads: int
    activation: str
    threads: int = 2


def build(config: dict[str, Any]) -> dict[str, Command]:
    """The command, on a tower with random weights: a prompt and the negative one, as a batch."""
    c = Config(**config)
    torch.set_num_threads(c.threads)
    sizes = CLIPTextConfig(
        hidden_size=c.width,
        intermediate_size=4 * c.width,
        num_hidden_layers=c.depth,
        num_attention_heads=c.heads,
        hidden_act=c.activation,
        vocab_size=49408,
    )
    tower = CLIPTextModel(sizes).eval()
    ids = torch.randint(0, 49408, (2, 77))

    @torch.no_grad()
    def embed() -> dict[str, Any]:
        start = time.perf_counter()
        tower(ids)
        return {"seconds": time.perf_counter() - start}

    return {"embed": embed}


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    serve(build)
