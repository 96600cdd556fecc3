"""Draws docs/concepts/frame.png: the paths of samples in x, and in the frame y = x / alpha."""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from equildm.noise import grids, ScaledLinear
from equildm.sampling import Heun, trajectory

MEANS, SPREAD = jnp.array([-1.0, 1.0]), 0.15


def denoiser(y, s, condition):
    """The exact clean estimate for data of two narrow bumps."""
    variance = SPREAD**2 + s**2
    share = jax.nn.softmax(-((y[..., None] - MEANS) ** 2) / (2 * variance))
    return jnp.sum(share * (MEANS + (y[..., None] - MEANS) * SPREAD**2 / variance), axis=-1)


schedule = ScaledLinear()
levels = grids.karras(schedule, 80)
noise = jnp.linspace(-1.8, 1.8, 12)
states = trajectory(denoiser, noise, levels, Heun()).states
coarse_levels = grids.karras(schedule, 5)
coarse = trajectory(denoiser, noise[8:9], coarse_levels).states
alpha = 1 / jnp.sqrt(1 + jnp.asarray(levels) ** 2)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
left.plot(levels, states * alpha[:, None], color="tab:gray", linewidth=1)
left.set(title="x, what the network sees", ylabel="x = alpha · y")
right.plot(levels, states, color="tab:gray", linewidth=1)
label = f"DDIM, 5 straight steps from s = {coarse_levels[0]:.1f}"
right.plot(coarse_levels, coarse, "o-", color="tab:red", label=label)
for text, step, offset in (
    ("1", 1, (-2, -18)),
    ("2", 2, (0, 8)),
    ("3", 3, (-3, -16)),
    ("4, 5", 4, (-32, 22)),
):
    at = (coarse_levels[step], coarse[step, 0])
    right.annotate(text, at, offset, textcoords="offset points", color="tab:red")
right.set(title="y, what solvers step through", ylabel="y = x / alpha", ylim=(-4, 4))
right.legend(loc="lower right")
left.set(xscale="symlog", xlim=(15, 0))
right.set(xlim=(5, 0))
for axes in (left, right):
    axes.set(xlabel="noise level s = sigma / alpha")
figure.savefig(Path(__file__).with_name("frame.png"), dpi=110)
