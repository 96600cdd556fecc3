"""PyTorch's side of `benchmarks/scheduler_parity.py`: diffusers' schedulers in their own loop."""

import inspect
import os
from typing import Any

import diffusers
import numpy as np
import torch

from benchmarks.peers._serve import Command, serve
from benchmarks.peers.exact_model import denoise, handed

INFINITE = 1e6
IMAGE_TOKENS = 1024


def build(config: dict[str, Any]) -> dict[str, Command]:
    """The commands, on a batch of one noise. The model is the denoiser of a Gaussian mixture."""
    torch.set_num_threads(1)
    arrays = {name: np.asarray(value, np.float32) for name, value in config.items()}

    def classes() -> dict[str, Any]:
        """All scheduler classes, with their signatures' defaults."""
        names = [name for name in dir(diffusers) if name.endswith("Scheduler")]
        return {"classes": {name: _defaults(getattr(diffusers, name)) for name in names}}

    def sample(cases: list[dict[str, Any]], double: bool) -> dict[str, Any]:
        return {"answers": [_answer(case, arrays, double) for case in cases]}

    return {"classes": classes, "sample": sample}


def _defaults(kind: Any) -> dict[str, Any]:
    parameters = inspect.signature(kind.__init__).parameters.values()
    known = (str, int, float, list, type(None))
    return {p.name: p.default for p in parameters if isinstance(p.default, known)}


def _answer(case: dict[str, Any], arrays: dict[str, np.ndarray], double: bool) -> dict[str, Any]:
    kind = getattr(diffusers, case["document"]["_class_name"])
    dtype = torch.float64 if double else torch.float32
    tensors = {name: torch.from_numpy(array).to(dtype) for name, array in arrays.items()}
    try:
        with handed(kind, iter(tensors["fresh"]), double=double):
            latent = _sampled(kind, case["document"], case["steps"], tensors)
        return {"latent": latent.flatten().tolist()}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def _sampled(
    kind: Any, document: dict[str, Any], steps: int, tensors: dict[str, torch.Tensor]
) -> torch.Tensor:
    # As StableDiffusionPipeline does when it is made.
    scheduler = kind.from_config(document, steps_offset=1, clip_sample=False)
    means, stds = tensors["means"], tensors["stds"]
    is_dynamic = (
        getattr(scheduler.config, "use_dynamic_shifting", False) and "Flow" in kind.__name__
    )
    scheduler.set_timesteps(steps, **({"mu": _mu(scheduler.config)} if is_dynamic else {}))
    latents = tensors["noise"] * getattr(scheduler, "init_noise_sigma", 1)
    for i, t in enumerate(scheduler.timesteps):
        if not getattr(scheduler, "state_in_first_order", True) and "KDPM2" in kind.__name__:
            s = scheduler.sigmas_interpol[i - ("Ancestral" in kind.__name__)]
        elif hasattr(scheduler, "sigmas"):
            s = scheduler.sigmas[i]
        else:
            left = scheduler.alphas_cumprod[t]
            s = ((1 - left) / left) ** 0.5
        if kind.__name__.startswith(("FlowMatch", "EDM")):
            output = _output(scheduler, latents, t, s, means, stds)
            latents = scheduler.step(output, t, latents).prev_sample
            continue
        s = torch.clamp(s, max=INFINITE)
        y = scheduler.scale_model_input(latents, t) * (1 + s**2) ** 0.5
        clean = denoise(y, s, means, stds)
        eps, alpha = (y - clean) / s, (1 + s**2) ** -0.5
        output = {
            "epsilon": eps,
            "v_prediction": alpha * eps - alpha * s * clean,
            "sample": clean,
        }[scheduler.config.prediction_type]
        latents = scheduler.step(output, t, latents).prev_sample
    return latents


def _mu(config: Any) -> float:
    """Of an image of `IMAGE_TOKENS` patches, as the public pipelines count it."""
    slope = (config.max_shift - config.base_shift) / (
        config.max_image_seq_len - config.base_image_seq_len
    )
    return config.base_shift + slope * (IMAGE_TOKENS - config.base_image_seq_len)


def _output(
    scheduler: Any,
    latents: torch.Tensor,
    t: torch.Tensor,
    s: torch.Tensor,
    means: torch.Tensor,
    stds: torch.Tensor,
) -> torch.Tensor:
    """What a network of flow matching, or of EDM, predicts at a state of its own frame."""
    if "Flow" in type(scheduler).__name__:
        s = torch.clamp(s / (1 - s), max=INFINITE)
        y = latents * (1 + s)
        clean = denoise(y, s, means, stds)
        return (y - clean) / s - clean
    config = scheduler.config
    scheduler.scale_model_input(latents, t)
    clean, variance = denoise(latents, s, means, stds), config.sigma_data**2
    sign = -1 if config.prediction_type == "v_prediction" else 1
    skip = variance / (s**2 + variance)
    return sign * (clean - skip * latents) * (s**2 + variance) ** 0.5 / (s * config.sigma_data)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    diffusers.utils.logging.set_verbosity_error()
    serve(build)
