"""Blur kernels by formula."""

import abc
import dataclasses
import math

import numpy as np
from jaxtyping import Float

Weights = Float[np.ndarray, "size size"]


@dataclasses.dataclass(frozen=True)
class AbstractKernel(abc.ABC):
    """A square of weights that sum to 1, of odd side.

    **Fields:**

    - `size`: the side.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(f"A kernel's side is an odd number of pixels; got {self.size}.")

    def weights(self) -> Weights:
        """The kernel, float32."""
        values = self.profile()
        return (values / values.sum()).astype(np.float32)

    @abc.abstractmethod
    def profile(self) -> Weights:
        """The kernel without its normalisation, float64."""


@dataclasses.dataclass(frozen=True)
class Gaussian(AbstractKernel):
    """`exp(-q^power / 2)` with `q = v^T S^-1 v`, `S = R diag(sigma^2) R^T`, at position `v`.

    (Wang et al. 2021, "Real-ESRGAN", equations 2 and 3.)

    **Fields:**

    - `sigmas`: standard deviations along the two axes of the ellipse, in pixels; equal for an
        isotropic kernel. The first axis is `x` before the rotation.
    - `angle`: of the rotation, in radians.
    - `power`: 1 for a Gaussian; less for heavier tails, more for a flatter top ("generalised").
    """

    sigmas: tuple[float, float]
    angle: float = 0.0
    power: float = 1.0

    def profile(self) -> Weights:
        return np.exp(-0.5 * _ellipse(self.size, self.sigmas, self.angle) ** self.power)


@dataclasses.dataclass(frozen=True)
class Plateau(AbstractKernel):
    """`1 / (1 + q^power)`, with the `q` of `Gaussian` (Wang et al. 2021, equation 4)."""

    sigmas: tuple[float, float]
    angle: float = 0.0
    power: float = 1.0

    def profile(self) -> Weights:
        return 1.0 / (1.0 + _ellipse(self.size, self.sigmas, self.angle) ** self.power)


@dataclasses.dataclass(frozen=True)
class Sinc(AbstractKernel):
    """The ideal low-pass filter, cut off at the kernel's edge: `w J1(w r) / (2 pi r)`.

    It makes rings around edges and overshoots (Wang et al. 2021, equation 6). Its middle is
    `w^2 / (4 pi)`.

    **Fields:**

    - `cutoff`: `w`, the highest frequency that passes, in radians a pixel; pi is that of the grid.
    """

    cutoff: float

    def profile(self) -> Weights:
        x, y = _grid(self.size)
        radius = np.hypot(x, y)
        middle = radius == 0
        safe = np.where(middle, 1.0, radius)
        values = self.cutoff * bessel_j1(self.cutoff * safe) / (2 * math.pi * safe)
        return np.where(middle, self.cutoff**2 / (4 * math.pi), values)


def bessel_j1(x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The Bessel function of the first kind of order 1, for arguments of up to 60 or so.

    `J1(x) = mean over t of cos(t - x sin t)`, 0 <= t < 2 pi. The mean of n points has an error of
    `J_(n-1)(x)`, which is negligible for n = 128 and such x.
    """
    t = 2 * math.pi * np.arange(128) / 128
    return np.cos(t - np.asarray(x)[..., None] * np.sin(t)).mean(-1)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates `x` (to the right) and `y` (down) from the middle."""
    side = np.arange(size, dtype=np.float64) - size // 2
    return side[None, :], side[:, None]


def _ellipse(size: int, sigmas: tuple[float, float], angle: float) -> np.ndarray:
    if min(sigmas) <= 0:
        raise ValueError(f"A kernel's deviations are above 0 pixels; got {sigmas}.")
    x, y = _grid(size)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    return (along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2
