"""Weights & Biases, an optional package: `pip install wandb`."""

import importlib.util
import json
import os
import uuid
from typing import Any, final, TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from ._files import write_json
from .tracker import AbstractTracker, Scalars

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .run import Run


_MISSING = (
    "Weights & Biases is an optional package, received --tracker wandb where it is not installed. "
    "Install it with pip install wandb, or leave the option out."
)


def check_wandb() -> None:
    """**Raises** `ValueError` where Weights & Biases is not installed."""
    if importlib.util.find_spec("wandb") is None:
        raise ValueError(_MISSING)


@final
class WandbTracker(AbstractTracker):
    """A run of Weights & Biases. A run folder that is resumed goes on with the same one.

    Its name is the folder's. The project is `equildm`, or that of `WANDB_PROJECT`; the package
    reads its other variables itself, such as `WANDB_MODE=offline`. `wandb.json` in the run folder
    holds the run's id. Steps that a resumed run repeats have the numbers that they had: Weights &
    Biases keeps the first ones.
    """

    def __init__(self, run: "Run", start: int = 0):
        """**Arguments:**

        - `run`: the run folder.
        - `start`: the step of the checkpoint that training continues from. A run that begins anew
            gets a new id.

        **Raises** `ValueError` where the package is not installed, or cannot begin a run.
        """
        check_wandb()
        import wandb

        file = run.path / "wandb.json"
        if start and file.exists():
            identity = json.loads(file.read_text(encoding="utf-8"))
        else:
            project = os.environ.get("WANDB_PROJECT", "equildm")
            identity = {"id": uuid.uuid4().hex[:12], "project": project}
            write_json(file, identity)
        self._wandb: Any = wandb
        try:
            self._run: Any = wandb.init(
                **identity,
                name=run.path.resolve().name,
                dir=str(run.path),
                config=run.document["config"] if run.document else None,
                resume="allow",
            )
        except (wandb.Error, OSError) as error:
            raise ValueError(
                f"Weights & Biases begins a run or goes on with one, received an error: {error}. "
                "Log in with `wandb login`, set WANDB_MODE=offline, or use another --tracker."
            ) from error

    def scalars(self, step: int, values: Scalars) -> None:
        """See `AbstractTracker`."""
        self._run.log(dict(values), step=step)

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """See `AbstractTracker`."""
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def close(self) -> None:
        """See `AbstractTracker`."""
        self._run.finish()
