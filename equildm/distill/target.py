"""Which weights give the answer at the lower level."""

import abc

import equinox as eqx
from jaxtyping import PyTree

from ..training import TrainState


class AbstractTarget(eqx.Module):
    """A choice among the weights of a training state. No gradient passes through any."""

    @abc.abstractmethod
    def __call__(self, state: TrainState) -> PyTree:
        """The model whose answer is the target."""


class EMATarget(AbstractTarget):
    """One of the averages that the training keeps (Song et al. 2023; CoDi, LCM)."""

    index: int = eqx.field(static=True, default=0)

    def __call__(self, state: TrainState) -> PyTree:
        """See `AbstractTarget`."""
        return state.average(self.index)


class OnlineTarget(AbstractTarget):
    """The current weights, without their gradient (Song & Dhariwal 2023, section 3.2)."""

    def __call__(self, state: TrainState) -> PyTree:
        """See `AbstractTarget`."""
        return state.model
