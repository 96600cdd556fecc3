"""What an objective is: the loss of a model on a batch."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from ..._types import Batch, Keys, Metrics
from ..state import TrainState


class AbstractObjective(eqx.Module):
    """A loss of a model on a batch.

    An objective holds everything that a training step has to know about the task, so that
    pretraining, a VAE, distillation and fine-tuning share one step and one loop. Whatever it holds
    (schedules, constants, frozen networks) is not trained.
    """

    @abc.abstractmethod
    def __call__(self, model: PyTree, batch: Batch, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """**Arguments:**

        - `model`: what is trained; gradients are taken with respect to its arrays.
        - `batch`: arrays with a leading batch axis.
        - `keys`: one key for each example, so that a batch taken in parts draws the same numbers.

        **Returns:** the mean loss over the batch, and named scalars to be logged.
        """


class AbstractMovingObjective(eqx.Module):
    """A loss that changes during the training, for instance one whose target is an average.

    The compiled step asks for the loss at its state. So the averages are the state's own arrays:
    they are not copied, they lie in the state's shards, and they are in every checkpoint.
    """

    @abc.abstractmethod
    def at(self, state: TrainState) -> AbstractObjective:
        """The objective of the next step. Inside of the step the arrays of `state` are traced."""
