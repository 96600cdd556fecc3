"""PyTorch's side of `benchmarks/dit_step.py`: diffusers' DiTTransformer2DModel.

Configuration, as JSON: the fields of `Config`. Commands: `forward`, `sample` (DDIM steps one after
the other) and `step` (loss, backward, clipping to the global norm, fused AdamW), each answered with
`seconds`; `parameters`.
"""

import dataclasses
import os
import time
from typing import Any

import torch
from diffusers import DiTTransformer2DModel

from benchmarks.peers._serve import Command, serve


@dataclasses.dataclass(frozen=True)
class Config:
    """What is built and how it runs. `compile` is a mode of `torch.compile`, or None for eager."""

    width: int = 384
    depth: int = 12
    heads: int = 6
    batch: int = 4
    size: int = 32
    sampling_steps: int = 10
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 2
    compile: str | None = None


def build(config: dict[str, Any]) -> dict[str, Command]:
    """The commands, on a model with random weights and random inputs."""
    c = Config(**config)
    torch.set_num_threads(c.threads)
    torch.manual_seed(0)
    network = DiTTransformer2DModel(
        num_attention_heads=c.heads,
        attention_head_dim=c.width // c.heads,
        in_channels=4,
        out_channels=4,
        num_layers=c.depth,
        sample_size=c.size,
    ).to(c.device)
    weights = list(network.parameters())
    optimiser = torch.optim.AdamW(weights, lr=1e-4, weight_decay=0.01, fused=True)
    noisy, noise = (torch.randn(c.batch, 4, c.size, c.size, device=c.device) for _ in range(2))
    times = torch.randint(0, 1000, (c.batch,), device=c.device)
    labels = torch.randint(0, 1000, (c.batch,), device=c.device)
    mixed = torch.autocast(c.device, getattr(torch, c.dtype), enabled=c.dtype != "float32")

    def predict(x: torch.Tensor) -> torch.Tensor:
        with mixed:
            return network(x, times, labels, return_dict=False)[0].float()

    if c.compile is not None:
        predict = torch.compile(predict, mode=c.compile)

    def seconds(start: float) -> dict[str, Any]:
        if c.device == "cuda":
            torch.cuda.synchronize()
        return {"seconds": time.perf_counter() - start}

    @torch.no_grad()
    def forward() -> dict[str, Any]:
        start = time.perf_counter()
        predict(noisy)
        return seconds(start)

    @torch.no_grad()
    def sample() -> dict[str, Any]:
        start, x = time.perf_counter(), noisy
        for _ in range(c.sampling_steps):
            x = 0.9 * x - 0.1 * predict(x)
        return seconds(start)

    def step() -> dict[str, Any]:
        start = time.perf_counter()
        torch.nn.functional.mse_loss(predict(noisy), noise).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return seconds(start)

    def parameters() -> dict[str, Any]:
        return {"count": sum(w.numel() for w in weights), "torch": torch.__version__}

    return {"forward": forward, "sample": sample, "step": step, "parameters": parameters}


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    serve(build)
