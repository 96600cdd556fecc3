"""The options of a run that starts from trained weights."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TYPE_CHECKING

from ..denoise import BackboneName

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    import optax
    from jaxtyping import PyTree

    from .._types import Network
    from ..runtime import Run
    from .config import TrainConfig
    from .objectives.base import AbstractObjective
    from .trained_part import AbstractTrainedPart


class Trainable(NamedTuple):
    """A network in two parts: the trained one and the frozen one.

        trainable = config.split(network, seed=0)
        state = train(trainable.model, trainable.objective(objective), ...)
        network = trainable.network(state.average())

    **Fields:**

    - `model`: the trained part, which is the model of the `TrainState`.
    - `frozen`: the rest; `None` where every weight is trained.
    - `part`: which part is trained.
    """

    model: "PyTree"
    frozen: "PyTree | None"
    part: "AbstractTrainedPart"

    def network(self, model: "PyTree") -> "Network":
        """The network, of a trained part such as `state.average()`."""
        return self.part.join(model, self.frozen)

    def objective(self, objective: "AbstractObjective") -> "AbstractObjective":
        """An objective of the network, as an objective of the trained part."""
        return self.part.objective(objective, self.frozen)


@dataclasses.dataclass(frozen=True)
class FineTuneConfig:
    """Where a fine-tuning starts, and which part of the network it trains.

    **Raises** `ValueError` for adapters and patterns together, for a rank below 1, and for groups
    that cannot be read.
    """

    start: str = "runs/emoji"
    """`emoji` (the model that ships), a run folder, a folder of diffusers, or `none` for fresh
    weights."""
    start_ema: str | None = None
    """Average of the start's weights: by name, `none` for the weights as trained, or a relative
    width such as 0.07 where the run has snapshots."""
    preset: str = "tiny"
    """Size of fresh weights: quick, tiny, mini, small, 39M .. 5B, or a UNet's width."""
    backbone: BackboneName = "unet"
    """Kind of a network with fresh weights."""
    vae: Path | None = None
    """Folder of another VAE with latents like those of the start's own."""
    trainable: tuple[str, ...] = ("*",)
    """Paths of the arrays that are trained, as patterns such as "*attention*"."""
    lora: int | None = None
    """Train adapters of this rank for the attention, and nothing else."""
    groups: tuple[str, ...] = ()
    """Groups of learning rates: PATTERN=FACTOR, such as "text.*=0.1"; the first match counts."""

    def __post_init__(self) -> None:
        _ = self.factors
        if self.lora is not None:
            _ = self.part
        if self.lora is not None and self.trainable != ("*",):
            raise ValueError(
                f"A run trains adapters or a part of the weights, received --lora {self.lora} and "
                f"--trainable {' '.join(self.trainable)}. Leave one of them out."
            )
        if not self.trainable:
            raise ValueError(
                "A run trains at least one array, received no pattern for --trainable. Use '*' "
                "for all."
            )
        if self.start == "none" and (self.lora is not None or self.trainable != ("*",)):
            raise ValueError(
                "Fresh weights are all trained, received --start none and a part to train. Start "
                "from a run, or train the whole network: --trainable '*', without --lora."
            )

    @property
    def part(self) -> "AbstractTrainedPart":
        """Which part of the network is trained."""
        from .trained_part import AllWeights, LoRAConfig, MatchingWeights

        if self.lora is not None:
            return LoRAConfig(self.lora)
        return AllWeights() if self.trainable == ("*",) else MatchingWeights(self.trainable)

    @property
    def factors(self) -> dict[str, float]:
        """Factors of the learning rate, by pattern; see `rate_groups`."""
        factors = {}
        for group in self.groups:
            pattern, _, text = group.rpartition("=")
            try:
                factor = float(text)
            except ValueError:
                factor = math.nan
            if not pattern or not 0 <= factor < math.inf:
                raise ValueError(
                    f"A group of learning rates is PATTERN=FACTOR with a factor of at least 0, "
                    f"received {group!r}. Use for instance 'text.*=0.1'."
                )
            factors[pattern] = factor
        return factors

    def split(
        self,
        network: "Network",
        *,
        seed: int,
        run: "Run | None" = None,
        start: "Network | None" = None,
        unused: Sequence[str] = (),
    ) -> Trainable:
        """The network's trained part and the rest.

        **Arguments:**

        - `network`: the start's, whose arrays the result holds without a copy.
        - `seed`: of new adapters.
        - `run`: of the training. One that is resumed has its own copy of the rest, which is taken
            instead of the start's: that may have trained on meanwhile.
        - `start`: what `network` was made of, where that added weights.
        - `unused`: paths of added weights that this training has no use for.

        **Raises** `ValueError` for a pattern of `trainable` or of `groups` that matches nothing,
        and where weights that were added to `start` would stay zero.
        """
        import jax

        from ..runtime import Checkpoints
        from .groups import at_rest
        from .trainable import check_new_weights, check_patterns

        trained, frozen = self.part.split(network, key=jax.random.key(seed))
        if start is not None:
            for part in (frozen, at_rest(trained, self.factors)):
                check_new_weights(part, start, unused)
        if frozen is not None and run is not None and Checkpoints(run.base).latest() is not None:
            frozen = _saved(frozen, run)
        check_patterns(trained, list(self.factors))
        return Trainable(trained, frozen, self.part)

    def optimizer(
        self, config: "TrainConfig", default_rate: float
    ) -> "optax.GradientTransformation":
        """The optimiser of `config`, its rate multiplied by the factor of each group.

        The log has the rate without the factors.
        """
        import optax

        from .groups import rate_groups
        from .scheduled import ScheduledOptimizer

        optimizer, factors = config.optimizer.build(config.steps, default_rate), self.factors
        if not factors:
            return optimizer
        return ScheduledOptimizer(optax.chain(optimizer, rate_groups(factors)), optimizer.schedule)


def _saved(frozen: "PyTree", run: "Run") -> "PyTree":
    """The frozen part as the run saved it, where the arrays of `frozen` are."""
    import equinox as eqx
    import jax

    from ..runtime import Checkpoints

    arrays, static = eqx.partition(frozen, eqx.is_array)
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), arrays
    )
    return eqx.combine(Checkpoints(run.base).restore({"model": like}).items["model"], static)
