"""Training low-rank adapters with the objective that trained their network."""

from typing import Any

from jaxtyping import Array, Float

from .._types import Keys
from ..nn.lora import Adapters, with_adapters
from .objective import AbstractObjective, Metrics


class OnAdapters(AbstractObjective):
    """An objective of a network as one of its adapters alone.

    The model of the `TrainState` is then the `Adapters`: optimiser, averages and checkpoints are of
    their size, and the network, held here, gets no gradient.

        adapters = new_adapters(network, rank=8, key=key)
        state = TrainState.create(adapters, optimizer, ema)
        step = make_step(OnAdapters(objective, network), optimizer, ema, key=key)

    **Fields:**

    - `objective`: of the network with its adapters.
    - `network`: not trained.
    """

    objective: AbstractObjective
    network: Any

    def __call__(self, model: Adapters, batch: Any, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`."""
        return self.objective(with_adapters(self.network, model), batch, keys)
