"""Moving averages of the weights."""

import abc
from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from ..runtime import copied
from .packing import pack, Packed

_POWER = "power_"


class AbstractEMA(eqx.Module):
    """Moving averages of a model's arrays, each of them packed: see `TrainState.average`."""

    @abc.abstractmethod
    def decays(self, step: Int[Array, ""]) -> tuple[Float[Array, ""], ...]:
        """For each average, the factor of its old value in update number `step >= 1`."""

    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """For each average, the name by which `load_pretrained` selects it."""

    def init(self, model: PyTree) -> tuple[Packed, ...]:
        """Averages equal to the model."""
        model = pack(model)
        return tuple(copied(model) for _ in self.names())

    def update(
        self, averages: tuple[Packed, ...], model: PyTree, step: Int[Array, ""]
    ) -> tuple[Packed, ...]:
        """`average <- decay average + (1 - decay) model` for each."""
        model = pack(model)

        def mix(decay: Float[Array, ""]) -> Callable[[PyTree, PyTree], PyTree]:
            def leaf(old: PyTree, new: PyTree) -> PyTree:
                inexact = eqx.is_inexact_array(new)
                return (new + decay * (old - new)).astype(new.dtype) if inexact else new

            return leaf

        return tuple(
            jax.tree.map(mix(decay), average, model)
            for decay, average in zip(self.decays(step), averages, strict=True)
        )


class DecayEMA(AbstractEMA):
    """One average with a constant decay, warmed up as `min(decay, (1 + n) / (10 + n))`.

    **Fields:**

    - `decay`: factor of the old average in an update; its memory is about `1 / (1 - decay)` steps.
    """

    decay: float = eqx.field(static=True, default=0.9999)

    def __check_init__(self):
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(
                f"An EMA's decay is in [0, 1), received {self.decay}. A common value is 0.9999."
            )

    def decays(self, step: Int[Array, ""]) -> tuple[Float[Array, ""], ...]:
        n = step.astype(jnp.float32)
        return (jnp.minimum(self.decay, (1.0 + n) / (10.0 + n)),)

    def names(self) -> tuple[str, ...]:
        return (f"decay_{self.decay:g}",)


class PowerEMA(AbstractEMA):
    """Averages whose length grows with the training (Karras et al. 2024, EDM2, section 3.1).

    The average at step `n` weights the model of step `k` by `k^gamma`. So its relative width
    `sigma_rel` is the same share of the training at any time: `decay(n) = (1 - 1/n)^(gamma + 1)`
    (equation 127). From snapshots of two widths any other is made after training, see
    `posthoc_average`.

    **Fields:**

    - `sigma_rels`: relative widths, one for each average.
    """

    sigma_rels: tuple[float, ...] = eqx.field(static=True, default=(0.05, 0.10))

    def __check_init__(self):
        if not self.sigma_rels or any(not 0.0 < s < 0.28 for s in self.sigma_rels):
            raise ValueError(
                "An EMA's relative widths must lie between 0 and 0.28, received "
                f"{self.sigma_rels}. The paper's are (0.05, 0.10)."
            )

    def decays(self, step: Int[Array, ""]) -> tuple[Float[Array, ""], ...]:
        n = jnp.maximum(step, 1).astype(jnp.float32)
        return tuple((1.0 - 1.0 / n) ** (power_exponent(s) + 1.0) for s in self.sigma_rels)

    def names(self) -> tuple[str, ...]:
        return tuple(f"{_POWER}{s:g}" for s in self.sigma_rels)

    @staticmethod
    def sigma_rels_of(names: Sequence[str]) -> tuple[float, ...] | None:
        """The relative widths of averages with these names; None where they are no `PowerEMA`'s."""
        if not all(name.startswith(_POWER) for name in names):
            return None
        return tuple(float(name.removeprefix(_POWER)) for name in names)


def power_exponent(sigma_rel: float) -> float:
    """`gamma` of a power-function profile of relative width `sigma_rel`.

    Solves `sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3))` (EDM2, equations 123 to 126).
    """
    t = sigma_rel**-2.0
    roots = np.roots([1.0, 7.0, 16.0 - t, 12.0 - t])
    return float(np.max(roots[np.abs(roots.imag) < 1e-9].real))


EMAS: Mapping[str, AbstractEMA] = {
    "power": PowerEMA(),
    "decay": DecayEMA(),
    "decay-0.999": DecayEMA(0.999),
    "decay-0.995": DecayEMA(0.995),
    "decay-0.95": DecayEMA(0.95),
}
"""Averages of the weights, by the names that command lines and run folders use."""
