"""Power laws with intervals."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

Values = Sequence[float] | Float[np.ndarray, "points"]


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """`y = scale * x^exponent`, fitted.

    **Fields:**

    - `scale`, `exponent`: of the fit.
    - `interval`: 95 % bootstrap interval of the exponent.
    - `resampled`: `(scale, exponent)` of each of the bootstrap's fits.
    - `scatter`: standard deviation of log y about the law.
    - `points`: how many were fitted.
    """

    scale: float
    exponent: float
    interval: tuple[float, float]
    resampled: Float[np.ndarray, "resamples 2"]
    scatter: float
    points: int

    def __call__(self, x: Values) -> Float[np.ndarray, "points"]:
        """The law at `x`."""
        return self.scale * np.asarray(x, float) ** self.exponent

    def band(self, x: Values) -> tuple[np.ndarray, np.ndarray]:
        """95 % interval of the law at `x`."""
        scale, exponent = self.resampled.T[..., None]
        values = scale * np.asarray(x, float) ** exponent
        low, high = np.quantile(values, [0.025, 0.975], axis=0)
        return low, high

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.scale:.4g} x^{self.exponent:.3f}, 95 % interval of the exponent "
            f"{low:.3f} to {high:.3f}, {self.points} points"
        )


def fit_power_law(x: Values, y: Values, *, resamples: int = 2000, seed: int = 0) -> PowerLaw:
    """Least squares in logarithms, with intervals by the bootstrap of residuals.

    Residuals are enlarged by `sqrt(n / (n - 2))` for the two numbers that were fitted, and each
    resample's deviations by a factor `t / 1.96` of Student's distribution of `n - 2` degrees, so
    that intervals hold for few points, too.

    **Arguments:**

    - `x`, `y`: above 0; at least 4 points of at least 3 different x.
    - `resamples`: of the bootstrap.
    - `seed`: of the draw.
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
    slope, level = _line(log_x, log_y[None])
    fitted = level + slope * log_x
    residuals = (log_y - fitted[0]) * np.sqrt(n / (n - 2))
    residuals = residuals - residuals.mean()
    random = np.random.default_rng(seed)
    drawn = random.choice(residuals, (resamples, n)) * (_student(n - 2) / 1.96)
    slopes, levels = _line(log_x, fitted + drawn)
    low, high = np.quantile(slopes, [0.025, 0.975])
    return PowerLaw(
        scale=float(np.exp(level[0, 0])),
        exponent=float(slope[0, 0]),
        interval=(float(low), float(high)),
        resampled=np.stack([np.exp(levels[:, 0]), slopes[:, 0]], axis=1),
        scatter=float(residuals.std()),
        points=n,
    )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and levels (each (rows, 1)) of the least squares lines through rows of `y`."""
    centred = x - x.mean()
    slope = (y @ centred / (centred @ centred))[:, None]
    return slope, y.mean(axis=1, keepdims=True) - slope * x.mean()


def _student(degrees: int) -> float:
    """The 97.5 % quantile of Student's distribution (Abramowitz & Stegun 26.7.5; exact for 2)."""
    if degrees <= 2:
        return 4.303
    z, v = 1.959964, degrees
    return float(
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
