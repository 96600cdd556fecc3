"""Training the runs of a study, each by one of the processes that share its folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable, TypeVar

import jax

from ..runtime import Checkpoints, Locks, log
from ..training import TrainConfig
from .queue import share_work


@runtime_checkable
class RunOptions(Protocol):
    """The options of a recipe that trains: where, and how long."""

    @property
    def run(self) -> str | Path:
        """The run folder. A study's is one of this machine."""

    @property
    def train(self) -> TrainConfig:
        """The options of the training."""


T = TypeVar("T", bound=RunOptions)


def train_runs(configs: Sequence[T], recipe: Callable[[T], None], locks: Locks) -> None:
    """Trains every run that is not complete and that no other process is training.

    Returns when all are complete, whoever trained them.

    **Arguments:**

    - `configs`: options of the runs; they have `resume`.
    - `recipe`: trains one run.
    - `locks`: of this process, entered.
    """
    by_name = {Path(config.run).name: config for config in configs}

    def is_done(name: str) -> bool:
        config = by_name[name]
        return (Checkpoints(Path(config.run) / "checkpoints").latest() or 0) >= config.train.steps

    def begin(name: str) -> None:
        log(f"{name}:")
        recipe(by_name[name])
        jax.clear_caches()  # the next network compiles everything anew

    share_work(list(by_name), locks=locks, is_done=is_done, begin=begin, wait=5.0)
