"""The pairs of noise levels at which a student shall be consistent."""

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._types import Key, NoiseLevel
from ..noise import AbstractSchedule
from ..noise.grids import FAR

Pair = tuple[NoiseLevel, NoiseLevel]


class AbstractLevelPairs(eqx.Module):
    """A distribution of two levels `s0 > s1` of one trajectory. It may change during training."""

    @abc.abstractmethod
    def __call__(self, key: Key, step: Int[Array, ""]) -> Pair:
        """Draws `(s0, s1)`. `step` is the number of updates done."""


class TimeLevelPairs(AbstractLevelPairs):
    """Times `t = first, first + every ..`, equally likely, and `max(t - skip, 0)`.

    The published LCM (Luo et al. 2023, algorithm 1) has 19, 39 .. 999 and skips 20, the published
    CoDi (Mei et al. 2023) has 0, 20 .. 980.

    **Fields:**

    - `schedule`: the levels of the times.
    - `skip`: `k` in the papers.
    - `first`, `every`: the times.
    """

    schedule: AbstractSchedule
    skip: int = eqx.field(static=True, default=20)
    first: int = eqx.field(static=True, default=19)
    every: int = eqx.field(static=True, default=20)

    def __check_init__(self) -> None:
        if min(self.skip, self.every) < 1 or not 0 <= self.first < self.schedule.steps:
            raise ValueError(
                "Pairs of times need a skip and a distance of at least 1 and a first time from 0 "
                f"to {self.schedule.steps - 1}, received skip={self.skip}, every={self.every}, "
                f"first={self.first}. LCM has 20, 20 and 19."
            )

    def __call__(self, key: Key, step: Int[Array, ""]) -> Pair:
        """See `AbstractLevelPairs`."""
        n = jax.random.randint(key, (), 0, len(range(self.first, self.schedule.steps, self.every)))
        t = (self.first + self.every * n).astype(jnp.float32)
        return self.schedule.level(t), self.schedule.level(jnp.maximum(t - self.skip, 0))


class KarrasLevelPairs(AbstractLevelPairs):
    """Neighbours in a grid of Karras et al. 2022, equally likely (Song et al. 2023, algorithm 2).

        s_n = (low^(1/rho) + (n - 1) / (N - 1) (high^(1/rho) - low^(1/rho)))^rho,    n = 1 .. N

    Where `high` is above 80, the end of the paper's grid, the first N - 1 levels go to 80 and the
    last is `high`: otherwise most pairs would lie where there is only noise.

    **Fields:**

    - `low`, `high`: the ends; the paper's are 0.002 and 80.
    - `levels`: `N`, 18 or 40 in the paper.
    - `rho`: 7.
    """

    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    levels: int = eqx.field(static=True, default=18)
    rho: float = eqx.field(static=True, default=7.0)

    def __check_init__(self) -> None:
        _check_ends(self.low, self.high)
        if self.levels < 2:
            raise ValueError(
                f"A pair needs a grid of at least 2 levels, received {self.levels}. "
                "The paper has 18."
            )

    def __call__(self, key: Key, step: Int[Array, ""]) -> Pair:
        """See `AbstractLevelPairs`."""
        n = jax.random.randint(key, (), 0, self.levels - 1).astype(jnp.float32)
        intervals = jnp.asarray(self.levels - 1, jnp.float32)
        s0, s1 = (_level(n + i, intervals, self.low, self.high, self.rho) for i in (1, 0))
        return s0, s1


class GrowingLevelPairs(AbstractLevelPairs):
    """Neighbours in a Karras grid that gets finer (Song & Dhariwal 2023, equations 6 and 7, iCT).

        N(k) = min(first 2^floor(k / K'), last) + 1,    K' = floor(K / (log2(last / first) + 1))

    at update `k` of `K`. The pair `(s_{i+1}, s_i)` is drawn with a probability proportional to
    `erf((log s_{i+1} - mean) / (sqrt 2 std)) - erf((log s_i - mean) / (sqrt 2 std))`: a level is
    drawn from a log-normal distribution, truncated at the ends, and the pair is the ends of the
    interval that it falls into.

    **Fields:**

    - `low`, `high`, `rho`: of the grid, see `KarrasLevelPairs`.
    - `updates`: `K`, the number of updates of the training.
    - `first`, `last`: numbers of intervals at its start and at its end.
    - `mean`, `std`: of the level's logarithm.
    """

    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    updates: int = eqx.field(static=True)
    first: int = eqx.field(static=True, default=10)
    last: int = eqx.field(static=True, default=1280)
    mean: float = eqx.field(static=True, default=-1.1)
    std: float = eqx.field(static=True, default=2.0)
    rho: float = eqx.field(static=True, default=7.0)

    def __check_init__(self) -> None:
        _check_ends(self.low, self.high)
        if not 1 <= self.first <= self.last or self.updates < 1:
            raise ValueError(
                "A growing grid needs 1 <= first <= last and at least 1 update, received first = "
                f"{self.first}, last = {self.last}, updates = {self.updates}."
            )

    def intervals(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """`N(k) - 1`."""
        stages = math.log2(self.last // self.first) + 1
        stage = step // max(math.floor(self.updates / stages), 1)
        return jnp.minimum(self.first * 2.0 ** jnp.minimum(stage, 30), self.last)

    def __call__(self, key: Key, step: Int[Array, ""]) -> Pair:
        """See `AbstractLevelPairs`."""
        bounds = jnp.log(jnp.asarray([self.low, self.high], jnp.float32))
        ends = jax.scipy.special.ndtr((bounds - self.mean) / self.std)
        share = jax.random.uniform(key, minval=ends[0], maxval=ends[1])
        level = jnp.exp(self.mean + self.std * jax.scipy.special.ndtri(share))
        low, high = (end ** (1 / self.rho) for end in (self.low, min(self.high, FAR)))
        position = (level ** (1 / self.rho) - low) / (high - low)
        intervals = self.intervals(step)
        below = _below_far(intervals, self.high)
        i = jnp.clip(jnp.floor(position * below), 0, intervals - 1)
        s0, s1 = (_level(i + n, intervals, self.low, self.high, self.rho) for n in (1, 0))
        return s0, s1


class AbstractPairWeight(eqx.Module):
    """The weight of a pair in the loss."""

    @abc.abstractmethod
    def __call__(self, s0: NoiseLevel, s1: NoiseLevel) -> Float[Array, ""]:
        """The factor of the distance."""


class EqualPairWeight(AbstractPairWeight):
    """1."""

    def __call__(self, s0: NoiseLevel, s1: NoiseLevel) -> Float[Array, ""]:
        """See `AbstractPairWeight`."""
        return jnp.ones_like(s0)


class InverseGapWeight(AbstractPairWeight):
    """`1 / (s0 - s1)` (Song & Dhariwal 2023, section 3.2)."""

    def __call__(self, s0: NoiseLevel, s1: NoiseLevel) -> Float[Array, ""]:
        """See `AbstractPairWeight`."""
        gap = s0 - s1  # 0 for a pair of one level, whose distance is 0
        return jnp.where(gap > 0, 1 / jnp.where(gap > 0, gap, 1), 0)


def _below_far(intervals: Float[Array, ""], high: float) -> Float[Array, ""]:
    """How many intervals of a Karras grid lie below `FAR`: all but the highest, if it goes beyond.

    As in the grid `karras`: above `FAR` there is nothing to see, and one interval spans it.
    """
    return jnp.where((intervals > 1) & (high > FAR), intervals - 1, intervals)


def _level(
    i: Float[Array, ""], intervals: Float[Array, ""], low: float, high: float, rho: float
) -> NoiseLevel:
    """The level number `i` of the grid from `low`, number 0, to `high`; exact at both ends."""
    below = _below_far(intervals, high)
    end = jnp.where(below < intervals, min(high, FAR), high)
    bottom, top = low ** (1 / rho), end ** (1 / rho)
    level = (bottom + i / below * (top - bottom)) ** rho
    return jnp.where(i <= 0, low, jnp.where(i >= intervals, high, level)).astype(jnp.float32)


def _check_ends(low: float, high: float) -> None:
    if not 0 < low < high < math.inf:
        raise ValueError(
            f"Pairs lie between two levels 0 < low < high < inf, received low = {low} and high = "
            f"{high}. Use schedule.lowest and schedule.highest."
        )
