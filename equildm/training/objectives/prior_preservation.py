"""Learning one subject without forgetting its class."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import Keys, Metrics, Network
from ...data import PriorBatch
from ...runtime.fsdp import sharded_vmap
from .base import AbstractObjective
from .denoising import DenoisingObjective


class PriorPreservation(AbstractObjective):
    """DreamBooth's loss (Ruiz et al. 2023, equation 2):

        loss = mean over subject of l(x, "sks dog") + weight * mean over prior of l(x', "dog")

    where `l` is the loss of one example under `objective`. The captions of the subject's images
    hold a rare token. The images of the prior were sampled from the model before its training, with
    the same captions without that token. Each example has its own time and noise. Subject and prior
    go through the network as one batch.

    **Fields:**

    - `objective`: the loss of one latent with its caption.
    - `weight`: weight of the prior; the paper's is 1.
    """

    objective: DenoisingObjective
    weight: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(
                f"The prior's weight is at least 0, received {self.weight}. The paper's is 1."
            )

    def __call__(
        self, model: Network, batch: PriorBatch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`. One key for each pair; the metrics are `subject` and `prior`."""
        objective = self.objective
        network = objective.prepared(model)
        pairs = 2 * len(keys)

        def alternating(*arrays: Array) -> Array:
            # The two of a pair are neighbours, so that a batch which is sharded stays in place.
            return jnp.stack(arrays, axis=1).reshape(pairs, *arrays[0].shape[1:])

        both = jax.tree.map(alternating, batch.subject, batch.prior)
        keys = jax.vmap(lambda key: jax.random.split(key, 2))(keys).reshape(pairs)
        losses = sharded_vmap(
            DenoisingObjective.example, objective, network, both.latents, both.text, keys
        )
        subject, prior = jnp.mean(losses[0::2]), jnp.mean(losses[1::2])
        return subject + self.weight * prior, {"subject": subject, "prior": prior}
