"""PyTorch's side of `benchmarks/train_step.py`: diffusers' UNet of Stable Diffusion's structure.

Configuration, as JSON: the fields of `Config`. Commands: `forward` and `step` (loss of the noise,
backward, clipping to the global norm, AdamW, EMA), each answered with `seconds` for its `repeats`
calls; `reset_peak`; `parameters`. The defaults are the fastest of PyTorch's own choices on two CPU
cores: the fused AdamW (420 against 450 ms a step at c = 32) and plain memory (channels-last: 165
against 141 ms forward at c = 32, no difference at c = 64). On a GPU set `channels_last`, `compile`.
"""

import dataclasses
import os
import time
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from benchmarks._peer import peak_mb, reset_peak
from benchmarks.peers._serve import Command, serve


@dataclasses.dataclass(frozen=True)
class Config:
    """What is built and how it runs. `compile` is a mode of `torch.compile`, or None for eager."""

    width: int = 64
    batch: int = 4
    size: int = 32
    channels: int = 4
    tokens: int = 77
    context_width: int = 1024
    heads: int = 8
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 2
    compile: str | None = None
    channels_last: bool = False
    adamw: str = "fused"
    learning_rate: float = 1e-4
    clip: float = 1.0
    ema: float | None = None


def unet(c: Config) -> UNet2DConditionModel:
    """Width `(c, 2c, 4c, 4c)`; what diffusers calls `attention_head_dim` is the number of heads."""
    return UNet2DConditionModel(
        sample_size=c.size,
        in_channels=c.channels,
        out_channels=c.channels,
        block_out_channels=(c.width, 2 * c.width, 4 * c.width, 4 * c.width),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        layers_per_block=2,
        cross_attention_dim=c.context_width,
        attention_head_dim=c.heads,
        norm_num_groups=32,
    )


def build(config: dict[str, Any]) -> dict[str, Command]:
    """The commands, on a model with random weights and random inputs."""
    c = Config(**config)
    torch.set_num_threads(c.threads)
    torch.manual_seed(0)
    if c.device == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if c.channels_last else torch.contiguous_format
    network = unet(c).to(c.device).to(memory_format=layout)
    weights = list(network.parameters())
    average = [w.detach().clone() for w in weights] if c.ema is not None else []
    choice: dict[str, Any] = {c.adamw: True} if c.adamw else {}
    optimiser = torch.optim.AdamW(weights, lr=c.learning_rate, weight_decay=0.01, **choice)

    shape = (c.batch, c.channels, c.size, c.size)
    noisy = torch.randn(shape, device=c.device).to(memory_format=layout)
    noise = torch.randn(shape, device=c.device).to(memory_format=layout)
    times = torch.randint(0, 1000, (c.batch,), device=c.device)
    text = torch.randn((c.batch, c.tokens, c.context_width), device=c.device)
    mixed = torch.autocast(c.device, getattr(torch, c.dtype), enabled=c.dtype != "float32")

    def predict() -> torch.Tensor:
        with mixed:
            return network(noisy, times, text, return_dict=False)[0]

    def loss() -> torch.Tensor:
        return torch.nn.functional.mse_loss(predict().float(), noise)

    if c.compile is not None:
        predict_fast = torch.compile(predict, mode=c.compile)
        loss_fast = torch.compile(loss, mode=c.compile)
    else:
        predict_fast, loss_fast = predict, loss

    def wait() -> None:
        if c.device == "cuda":
            torch.cuda.synchronize()

    def answer(start: float, **more: Any) -> dict[str, Any]:
        wait()
        seconds = time.perf_counter() - start
        peak = torch.cuda.max_memory_allocated() / 1e6 if c.device == "cuda" else peak_mb()
        return {"seconds": seconds, "peak_mb": peak, **more}

    def forward(repeats: int = 1) -> dict[str, Any]:
        wait()
        start = time.perf_counter()
        with torch.no_grad():
            for _ in range(repeats):
                predict_fast()
        return answer(start)

    def step(repeats: int = 1) -> dict[str, Any]:
        wait()
        start = time.perf_counter()
        for _ in range(repeats):
            value = loss_fast()
            value.backward()
            torch.nn.utils.clip_grad_norm_(weights, c.clip)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if c.ema is not None:
                torch._foreach_lerp_(average, weights, 1 - c.ema)
        return answer(start, loss=float(value.detach()))

    def forget() -> dict[str, Any]:
        if c.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        return {"done": c.device == "cuda" or reset_peak()}

    def parameters() -> dict[str, Any]:
        return {"count": sum(w.numel() for w in weights), "torch": torch.__version__}

    return {"forward": forward, "step": step, "reset_peak": forget, "parameters": parameters}


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    serve(build)
