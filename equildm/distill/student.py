"""From the trained arrays to a denoiser."""

import abc

import equinox as eqx
from jaxtyping import PyTree

from .._types import Network
from ..denoise import AbstractDenoiser, Preconditioned
from ..nn import Adapters, with_lora_layers
from ..noise import AbstractPrediction, AbstractSchedule
from ..runtime import InPrecision, Policy
from ..training.names import Remat
from ..training.remat import rematerialise


class AbstractStudent(eqx.Module):
    """How the trained arrays become a denoiser. Arrays that a student holds itself are frozen."""

    @abc.abstractmethod
    def __call__(self, model: PyTree) -> AbstractDenoiser:
        """The denoiser of `model`, the tree that is trained."""


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

    def __call__(self, model: Network) -> Preconditioned:
        """See `AbstractStudent`; `model` is the network."""
        network = InPrecision(rematerialise(model, self.remat), self.policy)
        return Preconditioned(network, self.schedule, self.prediction)


class LoRAStudent(AbstractStudent):
    """A network whose low-rank adapters alone are trained, averaged and saved (LCM-LoRA).

    Where `network` holds the same arrays as the teacher's network, they are in memory once.

    **Fields:**

    - `student`: makes a denoiser of the network with its adapters.
    - `network`: frozen.
    """

    student: AbstractStudent
    network: Network

    def __call__(self, model: Adapters) -> AbstractDenoiser:
        """See `AbstractStudent`; `model` is the adapters."""
        return self.student(with_lora_layers(self.network, model))
