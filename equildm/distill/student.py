"""From what is trained to a denoiser."""

import abc
from typing import Any

import equinox as eqx

from ..denoise import AbstractDenoiser, Preconditioned
from ..noise import AbstractPrediction, AbstractSchedule
from ..runtime import Computing, Policy
from ..train.remat import Remat, rematerialise


class AbstractStudent(eqx.Module):
    """How the trained arrays become a denoiser. Whatever it holds itself is not trained."""

    @abc.abstractmethod
    def __call__(self, model: Any) -> AbstractDenoiser:
        """The denoiser of `model`, the tree that gradients are taken of."""


class Student(AbstractStudent):
    """A network with the schedule and the prediction of its teacher.

    **Fields:**

    - `schedule`, `prediction`: see `Preconditioned`.
    - `policy`: dtype of the network's arithmetic; losses are float32.
    - `remat`: which activations are computed again in the backward pass, see `rematerialise`.
    """

    schedule: AbstractSchedule
    prediction: AbstractPrediction
    policy: Policy = eqx.field(static=True, default=Policy())
    remat: Remat = eqx.field(static=True, default="none")

    def __call__(self, model: Any) -> Preconditioned:
        """See `AbstractStudent`; `model` is the network."""
        network = Computing(rematerialise(model, self.remat), self.policy)
        return Preconditioned(network, self.schedule, self.prediction)
