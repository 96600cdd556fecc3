"""Which part of a network a run trains, as plain values for the run folder."""

import abc
import dataclasses

import equinox as eqx
from jaxtyping import PyTree

from .._types import Key
from ..nn import merge_lora, new_lora
from .objectives.base import AbstractObjective
from .trainable import (
    check_patterns,
    LoRAObjective,
    matching,
    PartialObjective,
    partition_trainable,
)


@dataclasses.dataclass(frozen=True)
class AbstractTrainedPart(abc.ABC):
    """Divides a network, or another model such as a VAE, into a trained and a frozen part.

    A run's checkpoints hold the trained part, and its `base/` holds the frozen part. To train
    another kind of part, subclass this: `model.json` names the class.
    """

    @abc.abstractmethod
    def split(self, network: PyTree, *, key: Key) -> tuple[PyTree, PyTree | None]:
        """`(trained, frozen)`; `frozen` is `None` where everything is trained.

        Works on shapes too, under `eqx.filter_eval_shape`. `key` draws weights that are new.
        """

    @abc.abstractmethod
    def join(self, trained: PyTree, frozen: PyTree | None) -> PyTree:
        """The network: the inverse of `split`."""

    @abc.abstractmethod
    def objective(self, objective: AbstractObjective, frozen: PyTree | None) -> AbstractObjective:
        """An objective of the network, as an objective of the trained part."""


@dataclasses.dataclass(frozen=True)
class AllWeights(AbstractTrainedPart):
    """Every weight is trained."""

    def split(self, network: PyTree, *, key: Key) -> tuple[PyTree, None]:
        return network, None

    def join(self, trained: PyTree, frozen: PyTree | None) -> PyTree:
        return trained

    def objective(self, objective: AbstractObjective, frozen: PyTree | None) -> AbstractObjective:
        return objective


@dataclasses.dataclass(frozen=True)
class MatchingWeights(AbstractTrainedPart):
    """The arrays are trained whose path matches one of the patterns."""

    patterns: tuple[str, ...]
    """Patterns of paths such as `*attention*`, see `matching`."""

    def split(self, network: PyTree, *, key: Key) -> tuple[PyTree, PyTree]:
        """See `AbstractTrainedPart`.

        **Raises** `ValueError` for a pattern that matches nothing.
        """
        check_patterns(network, self.patterns)
        return partition_trainable(network, matching(*self.patterns))

    def join(self, trained: PyTree, frozen: PyTree | None) -> PyTree:
        return eqx.combine(trained, frozen)

    def objective(self, objective: AbstractObjective, frozen: PyTree | None) -> AbstractObjective:
        return PartialObjective(objective, frozen)


@dataclasses.dataclass(frozen=True)
class LoRAConfig(AbstractTrainedPart):
    """Low-rank adapters of every attention's projections are trained, and nothing else."""

    rank: int
    """Rank of the adapters."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"An adapter's rank is at least 1, received {self.rank}. Use 4 to 64.")

    def split(self, network: PyTree, *, key: Key) -> tuple[PyTree, PyTree]:
        return new_lora(network, self.rank, key=key), network

    def join(self, trained: PyTree, frozen: PyTree | None) -> PyTree:
        assert frozen is not None  # split returned it
        return merge_lora(frozen, trained)

    def objective(self, objective: AbstractObjective, frozen: PyTree | None) -> AbstractObjective:
        assert frozen is not None  # split returned it
        return LoRAObjective(objective, frozen)
