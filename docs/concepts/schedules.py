"""Draws docs/concepts/schedules.png: the noise level of each schedule over its training times."""

from pathlib import Path

import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from equildm.noise import SCHEDULES

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name, schedule in SCHEDULES.items():
    times = jnp.arange(schedule.steps)
    levels = jnp.asarray(schedule.level(times))
    axes.plot(times, jnp.where(levels < 1e4, levels, jnp.nan), label=name)
axes.set(xlabel="time", ylabel="noise level s = sigma / alpha", yscale="log", ylim=(1e-3, 3e2))
axes.legend()
figure.savefig(Path(__file__).with_name("schedules.png"), dpi=110)
