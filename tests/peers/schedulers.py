"""The public schedulers of `diffusers`, around a model known exactly: a Gaussian mixture."""

from typing import Any

import diffusers
import numpy as np
import torch

from benchmarks.peers.exact_model import denoise, handed


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Runs `config["cases"]`, each a scheduler's name, options, number of steps and whether double.

    Arrays: `noise` to start from, `fresh` (steps, *shape) handed to stochastic schedulers, and the
    mixture's `means` and `stds`. Answers, for each case: the `final` state on the scale of the data
    and the levels `start` and `stop` of each step.
    """
    results: dict[str, Any] = {}
    for i, case in enumerate(config["cases"]):
        for name, value in _sample(case, arrays).items():
            results[f"{i}/{name}"] = value
    return results


def _sample(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    kind = getattr(diffusers, case["scheduler"])
    dtype = torch.float64 if case["double"] else torch.float32
    fresh = iter(torch.from_numpy(arrays["fresh"]).to(dtype))
    with handed(kind, fresh, double=case["double"]):
        return _loop(kind(**case["options"]), case, arrays, dtype)


def _loop(scheduler: Any, case: dict[str, Any], arrays: dict[str, np.ndarray], dtype: torch.dtype):
    scheduler.set_timesteps(case["steps"])
    start, stop = _levels(scheduler, case)
    exploding = "Euler" in case["scheduler"] or "Heun" in case["scheduler"]
    means, stds = (torch.from_numpy(arrays[name]).to(dtype) for name in ("means", "stds"))
    velocity = scheduler.config.prediction_type == "v_prediction"

    noise = torch.from_numpy(arrays["noise"]).to(dtype)
    sample = noise * (1 + start[0] ** 2) ** 0.5 if exploding else noise
    for i, t in enumerate(scheduler.timesteps):
        s = start[i]
        if exploding:
            scheduler.scale_model_input(sample, t)
        alpha = (1 + s**2) ** -0.5
        y = sample if exploding else sample / alpha
        clean = denoise(y, s, means, stds)
        eps = (y - clean) / s
        output = alpha * eps - alpha * s * clean if velocity else eps
        sample = scheduler.step(output, t, sample, **case.get("step", {})).prev_sample
    final = sample if exploding else sample * (1 + stop[-1] ** 2) ** 0.5
    return {"final": final.numpy(), "start": start.numpy(), "stop": stop.numpy()}


def _levels(scheduler: Any, case: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The noise level before and after each call of `step`."""
    if "sigmas" in case:
        scheduler.sigmas = torch.tensor(case["sigmas"], dtype=scheduler.sigmas.dtype)
    if hasattr(scheduler, "sigmas"):
        scheduler.set_begin_index(0)
        return scheduler.sigmas[:-1], scheduler.sigmas[1:]
    levels = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5
    start = levels[scheduler.timesteps]
    if case["scheduler"] != "DDIMScheduler":
        return start, torch.cat([start[1:], start.new_zeros(1)])
    before = scheduler.timesteps - scheduler.config.num_train_timesteps // case["steps"]
    last = levels[0] if not scheduler.config.get("set_alpha_to_one", True) else levels.new_zeros(())
    return start, torch.where(before >= 0, levels[before.clamp(min=0)], last)
