"""Draws docs/scale/mesh.png: what each of eight devices holds on the mesh data=2,fsdp=4."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red")

figure, axes = plt.subplots(figsize=(10, 3.4), layout="constrained")
for data in range(2):
    for fsdp in range(4):
        x, y, number = 2.6 * fsdp, -1.7 * data, 4 * data + fsdp
        axes.add_patch(Rectangle((x, y), 2.4, 1.5, facecolor="white", edgecolor="black"))
        axes.add_patch(Rectangle((x + 0.1, y + 0.1), 0.25, 1.3, facecolor=COLORS[fsdp]))
        lines = [f"device {number}", f"batch: part {number + 1} of 8"]
        lines += [f"large kernels: part {fsdp + 1} of 4", "small arrays: a copy"]
        text = "\n".join(lines)
        axes.text(x + 0.45, y + 0.75, text, va="center", fontsize=8.8)
    axes.text(-0.15, y + 0.75, f"data {data}", ha="right", va="center")
for fsdp in range(4):
    axes.text(2.6 * fsdp + 1.2, 1.6, f"fsdp {fsdp}", ha="center")
axes.set(xlim=(-1, 10.3), ylim=(-1.8, 1.9))
axes.axis("off")
figure.savefig(Path(__file__).with_name("mesh.png"), dpi=110)
