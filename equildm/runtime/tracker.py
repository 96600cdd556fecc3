"""Where the curves of a run are shown while it trains. `metrics.jsonl` is written in any case."""

import abc
from collections.abc import Callable, Mapping
from typing import final, TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .run import Run


Scalars = Mapping[str, int | float]
"""Numbers on the host, by the names of their curves."""


class AbstractTracker(abc.ABC):
    """Receives what `MetricsLog` tells it, on the first process. Steps never fall.

    To show a run elsewhere, subclass this, or pass any function of a step and its numbers to
    `train(..., trackers=[function])`.
    """

    @abc.abstractmethod
    def scalars(self, step: int, values: Scalars) -> None:
        """Takes the numbers of a step. One step may come in several calls."""

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Takes an image; by default it is left out."""
        del step, name, image

    def close(self) -> None:  # noqa: B027 (there may be nothing to close)
        """Ends the tracking."""


@final
class FunctionTracker(AbstractTracker):
    """Calls a function with each step and its numbers."""

    def __init__(self, function: Callable[[int, Scalars], object]):
        self._function = function

    def scalars(self, step: int, values: Scalars) -> None:
        """See `AbstractTracker`."""
        self._function(step, values)


@final
class TensorBoardTracker(AbstractTracker):
    """TensorBoard's event files, in the run's `tensorboard/`."""

    def __init__(self, run: "Run", start: int = 0):
        """**Arguments:**

        - `run`: the run folder.
        - `start`: the step of the checkpoint that training continues from. TensorBoard hides what
            earlier launches wrote of later steps.
        """
        from tensorboardX import SummaryWriter  # takes long to import

        self._writer = SummaryWriter(str(run.tensorboard), purge_step=start + 1 if start else 0)

    def scalars(self, step: int, values: Scalars) -> None:
        """See `AbstractTracker`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """See `AbstractTracker`."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """See `AbstractTracker`."""
        self._writer.close()
