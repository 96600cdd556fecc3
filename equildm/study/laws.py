"""The study's power laws: quality over training compute and over sampling cost."""

from collections.abc import Sequence

from .compare import mean_over_seeds
from .cost import BASELINE_GFLOPS, Counting
from .fit import fit_power_law, PowerLaw
from .frontier import by, newest, optimal_guidance, pareto
from .table import Row


def train_compute(row: Row) -> float:
    """Training steps x GFLOPs of an evaluation on the paper's input, the axis of its figure 3."""
    return row.train_step * row.cost * BASELINE_GFLOPS


def reference_rows(rows: Sequence[Row]) -> list[Row]:
    """The checkpoints of all sizes, sampled in the one way that most of them have in common; the
    most steps, and then DDIM, where several ways are as common.

    Models that were distilled are left out, and so is what has no logarithm: weights that were not
    trained, and a distance of 0.
    """
    plain = [r for r in mean_over_seeds(rows) if not r.method and r.train_step > 0 and r.fid > 0]
    ways = by(plain, lambda row: (row.sampler, row.steps, row.guidance))
    if not ways:
        return []
    way = max(ways, key=lambda way: (len(ways[way]), way[1], way[0] == "ddim", -way[2]))
    return sorted(ways[way], key=lambda row: (row.width, row.train_step))


def laws(rows: Sequence[Row], counting: Counting = "once") -> dict[str, PowerLaw]:
    """Laws by name, those that there are points enough for.

    - `training, all sizes` and `training, c = ...`: FID over training compute (`train_compute`).
    - `sampling, frontier`: FID of the best over sampling cost, last checkpoints, not distilled.
    """
    rows = mean_over_seeds(rows)
    chosen = reference_rows(rows)
    plain = optimal_guidance([row for row in newest(rows) if not row.method])
    sets = {"training, all sizes": chosen}
    sets |= {f"training, c = {w}": group for w, group in by(chosen, lambda r: r.width).items()}
    found: dict[str, PowerLaw] = {}
    for name, group in sets.items():
        _fit(found, name, [train_compute(row) for row in group], [row.fid for row in group])
    front = pareto(plain, counting=counting)
    costs = [row.sampling_cost(counting) for row in front]
    _fit(found, "sampling, frontier", costs, [row.fid for row in front])
    return found


def _fit(found: dict[str, PowerLaw], name: str, x: list[float], y: list[float]) -> None:
    if len(x) >= 4 and len(set(x)) >= 3 and min(x) > 0 and min(y) > 0:
        found[name] = fit_power_law(x, y)
