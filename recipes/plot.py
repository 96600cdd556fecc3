"""Draws the loss of one or several runs.

python recipes/plot.py runs/emoji --out loss.png
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
import tyro

from equildm.runtime import read_metrics, Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Draws the loss of one or several runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders."""
    metric: str = "loss"
    """Which number of metrics.jsonl."""
    window: int = 50
    """Steps that a line is averaged over."""
    log: bool = True
    """Logarithmic axes."""
    out: Path = Path("loss.png")
    """PNG to write."""


def main(config: Config) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for folder in config.runs:
        lines = read_metrics(Run.open(folder).metrics)
        values = np.array([line[config.metric] for line in lines])
        steps = np.array([line["step"] for line in lines])
        window = min(config.window, len(values))
        mean = np.convolve(values, np.full(window, 1 / window), mode="valid")
        (drawn,) = axes.plot(steps[window - 1 :], mean, label=folder.name)
        axes.plot(steps, values, color=drawn.get_color(), alpha=0.15, linewidth=0.5)
    axes.set(xlabel="step", ylabel=config.metric)
    if config.log:
        axes.set(xscale="log", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(config.out, dpi=120)
    print(f"Written to {config.out}.")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
