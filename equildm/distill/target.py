"""Whose answer at the lower level the student is to repeat."""

import abc
from typing import Any

import equinox as eqx

from ..train import TrainState


class AbstractTarget(eqx.Module):
    """A choice among the weights of a training state. No gradient passes through any."""

    @abc.abstractmethod
    def __call__(self, state: TrainState) -> Any:
        """The model that answers."""


class EMATarget(AbstractTarget):
    """One of the averages that the training keeps (Song et al. 2023; CoDi, LCM)."""

    index: int = eqx.field(static=True, default=0)

    def __call__(self, state: TrainState) -> Any:
        """See `AbstractTarget`."""
        return state.average(self.index)


class OnlineTarget(AbstractTarget):
    """The weights as they are, held still (Song & Dhariwal 2023, section 3.2)."""

    def __call__(self, state: TrainState) -> Any:
        """See `AbstractTarget`."""
        return state.model
