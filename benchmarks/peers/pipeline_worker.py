"""PyTorch's side of `benchmarks/sampler_overhead.py`: the sampling loop of diffusers' pipeline.

Configuration, as JSON: `steps`, `guidance_scale` and the fields of `unet_worker.Config`. The
command `sample` makes one batch of latents as `StableDiffusionPipeline` does: DDIM, the
unconditional and the conditional half in one batch of twice the size. With `device`, `dtype`,
`channels_last` and `compile` it runs as one would on a GPU.
"""

import os
import time
from typing import Any

import torch
from diffusers import DDIMScheduler

from benchmarks.peers._serve import Command, serve
from benchmarks.peers.unet_worker import Config, unet


def build(config: dict[str, Any]) -> dict[str, Command]:
    """The commands, on a model with random weights and random inputs."""
    steps, scale = config.pop("steps"), config.pop("guidance_scale")
    c = Config(**config)
    torch.set_num_threads(c.threads)
    torch.manual_seed(0)
    dtype = getattr(torch, c.dtype)
    layout = torch.channels_last if c.channels_last else torch.contiguous_format
    network = unet(c).eval().to(c.device, dtype).to(memory_format=layout)
    if c.compile is not None:
        network.compile(mode=c.compile, fullgraph=True)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    noise = torch.randn((c.batch, c.channels, c.size, c.size), dtype=dtype, device=c.device)
    text = torch.randn((2 * c.batch, c.tokens, c.context_width), dtype=dtype, device=c.device)

    @torch.no_grad()
    def sample() -> dict[str, Any]:
        start = time.perf_counter()
        scheduler.set_timesteps(steps, device=c.device)
        latents = noise
        for t in scheduler.timesteps:
            both = scheduler.scale_model_input(torch.cat([latents] * 2), t)
            eps = network(both, t, encoder_hidden_states=text, return_dict=False)[0]
            null, conditional = eps.chunk(2)
            latents = scheduler.step(null + scale * (conditional - null), t, latents).prev_sample
        size = float(latents.abs().max())  # waits for the device
        return {"seconds": time.perf_counter() - start, "size": size}

    return {"sample": sample}


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    serve(build)
