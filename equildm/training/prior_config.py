"""The prior of DreamBooth, as options."""

import dataclasses
import itertools
import math
from typing import Annotated, TYPE_CHECKING

import tyro

from ..data import Subject

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .objectives.base import AbstractObjective
    from .objectives.denoising import DenoisingObjective


@dataclasses.dataclass(frozen=True)
class PriorConfig:
    """Images of the subject's class, sampled from the model before its training.

    They keep the model from forgetting the class, see `PriorPreservation`.
    """

    weight: Annotated[float, tyro.conf.arg(name="prior-weight")] = 1.0
    """Weight of the class's part of the loss; 0 leaves it out."""
    count: Annotated[int, tyro.conf.arg(name="prior-count")] = 96
    """Images of the class to make."""
    prompts: Annotated[tuple[str, ...], tyro.conf.arg(name="prior-prompts")] = ()
    """Their captions; by default the subject's, without the rare word."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(
                f"The prior's weight is at least 0, received --prior-weight {self.weight}. The "
                "paper's is 1."
            )
        if self.count < 1:
            raise ValueError(
                f"The class has at least 1 image, received --prior-count {self.count}. Use "
                "--prior-weight 0 to train without a prior."
            )

    def captions(self, subject: Subject) -> list[str]:
        """The captions of the class's images: the distinct prompts in turn, `count` in all."""
        from ..data import without_token

        prompts = self.prompts or tuple(dict.fromkeys(subject.captions))
        prompts = tuple(without_token(prompt) for prompt in prompts)
        return list(itertools.islice(itertools.cycle(prompts), self.count))

    def objective(self, objective: "DenoisingObjective") -> "AbstractObjective":
        """The loss of subject and class; that of the subject alone for a weight of 0."""
        from .objectives.prior_preservation import PriorPreservation

        return PriorPreservation(objective, self.weight) if self.weight else objective
