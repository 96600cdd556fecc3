"""The optimiser of a training and its learning rate, as options."""

import dataclasses
from typing import get_args, Literal, TYPE_CHECKING

from .names import check_name, OptimizerName
from .optimizer_checks import check_decay_and_clip, check_learning_rate

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    import optax

    from .scheduled import ScheduledOptimizer


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The optimiser and its learning rate.

        optimizer = OptimizerConfig(learning_rate=3e-4).build(steps=10_000)

    **Raises** `ValueError` for a value that no optimiser takes, such as a rate of NaN.
    """

    optimizer: OptimizerName | None = None
    """AdamW; AdamW with its first moment in bfloat16, to save memory; or Adafactor, to save more.
    By default AdamW, or the method's own."""
    learning_rate: float | None = None
    """Peak learning rate; by default one that suits the model's size."""
    warmup: int = 100
    """Steps of linear warm-up."""
    decay: Literal["constant", "cosine"] = "constant"
    """Learning rate after the warm-up: constant as in the paper, so that a run can be lengthened at
    any time; or a cosine down to 0."""
    weight_decay: float | None = None
    """Weight decay of matrices and kernels; by default 0.01, or the method's own."""
    clip: float = 1.0
    """Largest norm of the gradient."""

    def __post_init__(self) -> None:
        if self.optimizer is not None:
            check_name("optimizer", self.optimizer, get_args(OptimizerName))
        self.check(self.warmup + 1)  # of the shortest training that any decay takes

    def check(self, steps: int) -> None:
        """**Raises** `ValueError` for what a training of so many steps does not take."""
        peak = 1.0 if self.learning_rate is None else self.learning_rate
        check_learning_rate(peak, warmup=self.warmup, steps=steps, decay=self.decay)
        check_decay_and_clip(self.weight_decay or 0.0, self.clip)

    def schedule(self, steps: int, default_rate: float = 1e-4) -> "optax.Schedule":
        """The learning rate by step.

        **Arguments:**

        - `steps`: length of the training.
        - `default_rate`: the peak, where no `learning_rate` is set.

        **Raises** `ValueError` for a cosine in a training that is no longer than the warm-up.
        """
        from .optimizer import learning_rate

        peak = default_rate if self.learning_rate is None else self.learning_rate
        return learning_rate(peak, warmup=self.warmup, steps=steps, decay=self.decay)

    def build(
        self, steps: int, default_rate: float = 1e-4, default_weight_decay: float = 0.01
    ) -> "ScheduledOptimizer":
        """The optimiser, which knows its learning rate.

        **Arguments:** as of `schedule`, and

        - `default_weight_decay`: where no `weight_decay` is set.
        """
        from .optimizer import OPTIMIZERS
        from .scheduled import ScheduledOptimizer

        weight_decay = default_weight_decay if self.weight_decay is None else self.weight_decay
        make = OPTIMIZERS[self.optimizer or "adamw"]
        rate = self.schedule(steps, default_rate)
        optimizer = make(rate, weight_decay=weight_decay, clip=self.clip)
        return ScheduledOptimizer(optimizer, rate)
