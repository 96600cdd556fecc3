"""Power laws with intervals: quality over training compute and over sampling cost."""

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float

from .compare import mean_over_seeds, quantile
from .frontier import by, last_checkpoints, pareto
from .price import OWN_COST, Price
from .table import Row

Values = Sequence[float] | Float[np.ndarray, "points"]


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """`y = scale * x^exponent`, fitted.

    **Fields:**

    - `scale`, `exponent`: of the fit.
    - `spread`: deviations of `(log scale, exponent)` by the jackknife over groups of points; their
        mean square is the variance. None for a law without an interval.
    - `degrees`: of freedom of the intervals.
    - `points`: how many were fitted.
    """

    scale: float
    exponent: float
    spread: Float[np.ndarray, "groups 2"] | None
    degrees: int
    points: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the exponent."""
        if self.spread is None:
            return None
        margin = self._margin(self.spread[:, 1:])[0]
        return self.exponent - margin, self.exponent + margin

    def __call__(self, x: Values) -> Float[np.ndarray, "points"]:
        """The law at `x`."""
        return self.scale * np.asarray(x, float) ** self.exponent

    def band(self, x: Values) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
        """95 % interval of the law at `x`.

        **Raises** `ValueError` for a law without an interval.
        """
        if self.spread is None:
            raise ValueError(
                "A band is that of a law with an interval, received one of selected points. Draw "
                "the law alone."
            )
        at = np.log(np.asarray(x, float))
        factor = np.exp(self._margin(self.spread[:, :1] + self.spread[:, 1:] * at))
        return self(x) / factor, self(x) * factor

    def _margin(self, spread: Float[np.ndarray, "groups points"]) -> Float[np.ndarray, "points"]:
        return quantile(self.degrees) * np.sqrt(np.mean(spread**2, axis=0))

    def __str__(self) -> str:
        law = f"{self.scale:.4g} x^{self.exponent:.3f}"
        if self.interval is None:
            return f"{law}, {self.points} points"
        low, high = self.interval
        return f"{law}, 95 % interval of the exponent {low:.3f} to {high:.3f}, {self.points} points"


def fit_power_law(
    x: Values, y: Values, *, groups: Sequence[Hashable] | None = None, selected: bool = False
) -> PowerLaw:
    """Least squares in logarithms, with intervals by the jackknife and Student's distribution.

    Points of one group, such as the checkpoints of one training, are left out together, for what
    one of them has in excess the others have, too. Two groups have no interval: whatever they are,
    a line goes through both.

    **Arguments:**

    - `x`, `y`: above 0; at least 4 points of at least 3 different x.
    - `groups`: of each point; by default, and with one group, each point is its own.
    - `selected`: whether the points were chosen for their y, as the best for each x. They fall with
        x whatever they are chosen from, so that there is no interval.

    **Raises** `ValueError` for other numbers, and for fewer points.
    """
    values = [np.asarray(v, float) for v in (x, y)]
    if not all(np.all((v > 0) & np.isfinite(v)) for v in values):
        raise ValueError(f"A power law is fitted to numbers above 0, received {x} and {y}.")
    log_x, log_y = map(np.log, values)
    n = len(log_x)
    if len(log_y) != n or n < 4 or len(np.unique(log_x)) < 3:
        raise ValueError(
            "A power law with intervals takes at least 4 points of 3 different x, received "
            f"x = {list(x)} and {len(log_y)} y."
        )
    line = _line(log_x, log_y)
    scale, exponent = float(np.exp(line[0])), float(line[1])
    names = list(dict.fromkeys(groups or ()))
    labels = np.arange(n)
    if len(names) > 1:
        labels = np.array([names.index(name) for name in groups or ()])
    rests = [labels != label for label in np.unique(labels)]
    degrees = len(rests) - 2
    if selected or degrees < 1 or any(len(np.unique(log_x[rest])) < 2 for rest in rests):
        return PowerLaw(scale, exponent, None, 0, n)
    without = np.array([_line(log_x[rest], log_y[rest]) for rest in rests])
    spread = (without - without.mean(axis=0)) * np.sqrt(len(without) - 1)
    return PowerLaw(scale, exponent, spread, degrees, n)


def _line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Level and slope of the least squares line."""
    centred = x - x.mean()
    slope = y @ centred / (centred @ centred)
    return np.array([y.mean() - slope * x.mean(), slope])


def reference_rows(rows: Sequence[Row]) -> list[Row]:
    """The checkpoints of all sizes, sampled in the one way that most of them have in common.

    Where several ways are equally common, it is the one of the most steps, and then DDIM. Distilled
    models are left out, and so is what has no logarithm: untrained weights, and a distance of 0.
    """
    plain = [r for r in mean_over_seeds(rows) if not r.method and r.train_step > 0 and r.fid > 0]
    ways = by(plain, lambda row: (row.sampler, row.steps, row.guidance))
    if not ways:
        return []
    way = max(ways, key=lambda way: (len(ways[way]), way[1], way[0] == "ddim", -way[2]))
    return sorted(ways[way], key=lambda row: (row.size, row.train_step))


def training_groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each law of training, by its name: those of each family, and of each size."""
    families = by(rows, lambda row: row.family)
    groups = {f"training, all sizes of {name}": group for name, group in families.items()}
    if len(families) == 1:
        groups = {"training, all sizes": list(rows)}
    return groups | by(rows, lambda row: f"training, {row.size}")


def training_law(rows: Sequence[Row], price: Price = OWN_COST) -> PowerLaw | None:
    """FID over training compute, of checkpoints sampled alike; None for too few.

    The interval is over the trainings: the checkpoints of one are left out together.
    """
    points = [(price.training(row), row.fid) for row in rows]
    if not _fits(points):
        return None
    return fit_power_law(*zip(*points), groups=[row.run for row in rows])


def laws(rows: Sequence[Row], price: Price = OWN_COST) -> dict[str, PowerLaw]:
    """The laws that there are points enough for, by name.

    - `training, all sizes` and `training, c = ...`: FID over training compute (`Price.training`).
        The former is `training, all sizes of ...` for each of several families.
    - `sampling, frontier`: FID of the best rows over sampling cost, last checkpoints without
        students. It has no interval.
    """
    rows = mean_over_seeds(rows)
    groups = training_groups(reference_rows(rows))
    fits = {name: training_law(group, price) for name, group in groups.items()}
    front = [(price(row), row.fid) for row in pareto(last_checkpoints(rows), price=price)]
    if _fits(front):
        fits["sampling, frontier"] = fit_power_law(*zip(*front), selected=True)
    return {name: law for name, law in fits.items() if law is not None}


def _fits(points: Sequence[tuple[float, float]]) -> bool:
    """Whether `fit_power_law` takes these points."""
    positive = all(value > 0 for point in points for value in point)
    return len(points) >= 4 and len({x for x, _ in points}) >= 3 and positive
