"""Choosing an average's length after training (Karras et al. 2024, EDM2, section 3.2)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PyTree

from .ema import power_exponent


class Snapshot(NamedTuple):
    """A power-function average at one step of the training, as a run saves it.

    **Fields:**

    - `step`: number of the step.
    - `sigma_rel`: relative width of the average, see `PowerEMA`.
    - `read`: reads the average.
    """

    step: int
    sigma_rel: float
    read: Callable[[], PyTree]


def posthoc_weights(
    snapshots: Sequence[tuple[int, float]], step: int, sigma_rel: float
) -> Float[np.ndarray, "snapshots"]:
    """The coefficients `x` of the snapshots in the average of width `sigma_rel` at `step`.

    Least squares between averaging profiles, `A x = b` with `A_ij = <p_i, p_j>` and
    `b_i = <p_i, p>` (EDM2, equations 137 to 142 and algorithm 3), in float64.

    **Arguments:**

    - `snapshots`: pairs `(step, sigma_rel)`.
    - `step`, `sigma_rel`: of the average that is wanted.

    **Raises** `ValueError` without a snapshot, and for a step or a width out of range.
    """
    if not snapshots:
        raise ValueError(
            "A post-hoc average is made of at least one snapshot, received none. Train with "
            "PowerEMA and keep its snapshots."
        )
    if not 0.0 < sigma_rel < 0.28 or step < 1:
        raise ValueError(
            "A post-hoc average needs a step of at least 1 and a relative width between 0 and "
            f"0.28, received step={step} and sigma_rel={sigma_rel}."
        )
    times = np.array([s for s, _ in snapshots], np.float64)
    gammas = np.array([power_exponent(s) for _, s in snapshots])
    target = _products(times, gammas, np.asarray(step, np.float64), power_exponent(sigma_rel))
    matrix = _products(times[:, None], gammas[:, None], times[None], gammas[None])
    return np.linalg.lstsq(matrix, target, rcond=None)[0]


def posthoc_average(snapshots: Sequence[Snapshot], step: int, sigma_rel: float) -> PyTree:
    """The average of width `sigma_rel` at `step`, as a combination of snapshots.

    It is accurate where `step` is near that of a snapshot, and `sigma_rel` lies between (or near)
    those of the snapshots. One snapshot is read after the other: memory holds one, and the sum in
    float64.
    """
    weights = posthoc_weights([(s.step, s.sigma_rel) for s in snapshots], step, sigma_rel)

    total: PyTree = None
    model: PyTree = None
    for weight, snapshot in zip(weights, snapshots, strict=True):
        model = snapshot.read()
        part = jax.tree.map(lambda leaf, w=weight: w * np.asarray(leaf, np.float64), model)
        total = part if total is None else jax.tree.map(np.add, total, part)
    return jax.tree.map(lambda sums, leaf: np.asarray(sums, leaf.dtype), total, model)


def _products(
    time_a: np.ndarray, gamma_a: np.ndarray, time_b: np.ndarray | float, gamma_b: np.ndarray | float
) -> Float[np.ndarray, "..."]:
    """`<p_a, p_b>` of two profiles `p(t) = (gamma + 1) t^gamma / T^(gamma + 1)` on `[0, T]`."""
    ratio = time_a / time_b
    exponent = np.where(time_a < time_b, gamma_b, -gamma_a)
    longest = np.maximum(time_a, time_b)
    numerator = (gamma_a + 1.0) * (gamma_b + 1.0) * ratio**exponent
    return numerator / ((gamma_a + gamma_b + 1.0) * longest)
