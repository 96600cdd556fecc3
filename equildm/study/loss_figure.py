"""The loss curves of a study's runs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from ..runtime import read_metrics, Run
from .drawing import distinct_styles, label_axes, new_axes


@dataclasses.dataclass(frozen=True)
class LossCurve:
    """The loss of one run.

    **Fields:**

    - `name`: of the run.
    - `distilled`: whether it is a student's.
    - `steps`: training steps.
    - `values`: the loss at each.
    """

    name: str
    distilled: bool
    steps: Int[np.ndarray, "steps"]
    values: Float[np.ndarray, "steps"]

    @classmethod
    def of_run(cls, path: Path) -> "LossCurve":
        """Reads the metrics.jsonl of a run folder; there may be none."""
        run = Run.open(path)
        lines = read_metrics(run.metrics) if run.metrics.exists() else []
        steps = np.array([line["step"] for line in lines], int)
        values = np.array([line["loss"] for line in lines], float)
        return cls(path.name, run.recipe == "distill", steps, values)


def draw_losses(curves: Sequence[LossCurve], window: int = 50) -> Figure | None:
    """Losses over training steps, with the mean over a window: models and students side by side.

    **Arguments:**

    - `curves`: of the runs; those without a step are left out.
    - `window`: steps that a line is averaged over; a tenth of a run that is shorter than ten.

    **Returns:** the figure; None without a curve.
    """
    curves = [curve for curve in curves if len(curve.steps)]
    panels = {
        "training": [curve for curve in curves if not curve.distilled],
        "distillation": [curve for curve in curves if curve.distilled],
    }
    panels = {title: panel for title, panel in panels.items() if panel}
    if not panels:
        return None
    figure, [axes] = new_axes(len(panels))
    for axis, (title, panel) in zip(axes, panels.items()):
        for curve, style in zip(panel, distinct_styles(len(panel))):
            color, line = style["color"], style["linestyle"]
            width = max(1, min(window, len(curve.values) // 10))
            mean = np.convolve(curve.values, np.full(width, 1 / width), mode="valid")
            axis.plot(curve.steps[width - 1 :], mean, line, color=color, label=curve.name)
            axis.plot(curve.steps, curve.values, color=color, alpha=0.15, linewidth=0.5)
        label_axes(axis, "training step", "loss", title=title, log="xy")
    return figure
