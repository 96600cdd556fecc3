"""Learning one subject without forgetting its class."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Keys
from ..data import PriorBatch
from ..runtime import Computing
from ..runtime.inside import over_examples
from .objective import AbstractObjective, LatentDiffusion, Metrics
from .remat import rematerialise


class PriorPreservation(AbstractObjective):
    """DreamBooth's loss (Ruiz et al. 2023, equation 2), of any weighting of time:

        loss = mean over subject of l(x, "sks dog") + weight * mean over prior of l(x', "dog")

    where `l` is the loss of one example that `objective` names, the subject's pictures have a
    caption with a rare word, and the prior's were made by the model itself, before, of the caption
    without it. Times and noise are drawn for each example by itself. Subject and prior go through
    the network as one batch.

    **Fields:**

    - `objective`: the loss of one latent with its caption.
    - `weight`: of the prior; the paper's is 1.
    """

    objective: LatentDiffusion
    weight: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"The prior's weight is at least 0, received {self.weight}.")

    def __call__(
        self, model: Any, batch: PriorBatch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`; one key for each pair. Logs `subject` and `prior`."""
        objective = self.objective
        network = Computing(rematerialise(model, objective.remat), objective.policy)
        pairs = 2 * len(keys)

        def alternating(*arrays: Array) -> Array:
            # Neighbours, so that a batch that is divided among devices stays where it is.
            return jnp.stack(arrays, axis=1).reshape(pairs, *arrays[0].shape[1:])

        both = jax.tree.map(alternating, batch.subject, batch.prior)
        keys = jax.vmap(lambda key: jax.random.split(key, 2))(keys).reshape(pairs)
        losses = over_examples(
            LatentDiffusion.example, objective, network, both.latents, both.text, keys
        )
        subject, prior = jnp.mean(losses[0::2]), jnp.mean(losses[1::2])
        return subject + self.weight * prior, {"subject": subject, "prior": prior}
