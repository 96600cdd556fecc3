"""What a run tells of itself while it trains, as options."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, get_args, Literal, TYPE_CHECKING

import tyro

from ..runtime import AbstractTracker, check_wandb, TensorBoardTracker, WandbTracker
from .names import check_name

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .._types import Batch
    from ..runtime import Run


TrackerName = Literal["tensorboard", "wandb", "none"]
TRACKERS: "Mapping[str, Callable[[Run, int], AbstractTracker]]" = {
    "tensorboard": TensorBoardTracker,
    "wandb": WandbTracker,
}
"""Trackers by name. Each takes the run and the step that training continues from."""


@dataclasses.dataclass(frozen=True)
class MonitorConfig:
    """Trackers, and the validation loss.

    **Raises** `ValueError` for trackers that are unknown or exclude each other, and for numbers out
    of range.
    """

    trackers: Annotated[tuple[TrackerName, ...], tyro.conf.arg(name="tracker")] = ("tensorboard",)
    """Where curves are shown beside metrics.jsonl; none for nowhere. wandb (Weights & Biases) is an
    optional package."""
    validate_every: int | None = None
    """Steps between two validations on held-out images; by default as between previews, 0 for
    none."""
    validation_images: int = 128
    """Held-out images of a validation, at most."""

    def __post_init__(self) -> None:
        for name in self.trackers:
            check_name("tracker", name, get_args(TrackerName))
        if len(set(self.trackers)) < len(self.trackers) or (
            "none" in self.trackers and len(self.trackers) > 1
        ):
            raise ValueError(
                f"Each tracker is named once, and none stands alone, received --tracker "
                f"{' '.join(self.trackers)}. Leave out the others."
            )
        if self.validate_every is not None and self.validate_every < 0:
            raise ValueError(
                f"--validate-every is a number of steps, received {self.validate_every}. Use 0 "
                "for no validation."
            )
        if self.validation_images < 1:
            raise ValueError(
                f"--validation-images is at least 1, received {self.validation_images}. Use "
                "--validate-every 0 for no validation."
            )

    def check_installed(self) -> None:
        """**Raises** `ValueError` for a tracker whose package is missing."""
        if "wandb" in self.trackers:
            check_wandb()

    def open_trackers(self, run: "Run", start: int) -> list[AbstractTracker]:
        """The trackers, which are closed with the run's log. Only the first process calls this.

        **Arguments:**

        - `run`: the run folder.
        - `start`: the step that training continues from.
        """
        return [TRACKERS[name](run, start) for name in self.trackers if name != "none"]

    def held_out(
        self, make: "Callable[..., Batch | None]", *args: object, **options: object
    ) -> "Batch | None":
        """Held-out examples for `train(held_out=...)`; `None` where none are wanted.

            monitor.held_out(data.held_out_latents, vae, text_encoder)

        **Arguments:**

        - `make`: makes a batch of up to `count` examples, its last argument, or `None` where
            nothing is held out: the log says so then.
        - `args`, `options`: its other arguments.
        """
        from ..runtime import log

        if self.validate_every == 0:
            return None
        batch = make(*args, **options, count=self.validation_images)
        if batch is None:
            log("Nothing is held out: there is no validation loss.")
        return batch


NO_VALIDATION = MonitorConfig(validate_every=0)
"""What runs did before there was a validation."""
