"""Denoising score matching, conditioned on captions."""

import dataclasses
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import Condition, Key, Keys, Latent, Metrics, Network, SizeCondition
from ...data import LatentBatch
from ...denoise.guidance import check_alike
from ...denoise.precondition import check_output
from ...noise import (
    AbstractPrediction,
    AbstractSchedule,
    AbstractTimes,
    AbstractWeight,
    corrupt,
)
from ...runtime import InPrecision, Policy
from ...runtime.fsdp import sharded_vmap
from ..names import Remat
from ..remat import rematerialise
from .base import AbstractObjective

C = TypeVar("C")


class DenoisingObjective(AbstractObjective):
    """Denoising score matching on latents, conditioned on captions.

    For each example, `t` is drawn from `times`, `eps ~ N(0, I)`, `x_t = alpha x0 + sigma eps`, and

        loss = weight(SNR) * mean((network(x_t, t, text) - target)^2)

    with the target that `prediction` names (Ho et al. 2020, equation 14; Salimans & Ho 2022). With
    probability `dropout` the caption is replaced by `null_text`, which trains the unconditional
    branch of classifier-free guidance (Ho & Salimans 2022).

    **Fields:**

    - `schedule`, `prediction`, `weight`, `times`: see `equildm.noise`.
    - `null_text`: embedding of the empty caption, or another condition of the kind that the batches
        hold.
    - `dropout`: share of captions that are replaced by `null_text`.
    - `policy`: dtype of the network's arithmetic; the loss is float32.
    - `remat`: which activations are computed again in the backward pass, see `rematerialise`.
    """

    schedule: AbstractSchedule
    prediction: AbstractPrediction
    weight: AbstractWeight
    times: AbstractTimes
    null_text: Condition
    dropout: float = eqx.field(static=True, default=0.1)
    policy: Policy = eqx.field(static=True, default=Policy())
    remat: Remat = eqx.field(static=True, default="none")

    def __check_init__(self) -> None:
        self.prediction.check_schedule(self.schedule)
        if not 0.0 <= self.dropout <= 1.0:
            raise ValueError(
                f"Caption dropout is a share between 0 and 1, received {self.dropout}. "
                "Use 0.1 to train for classifier-free guidance, 0 for none."
            )

    def __call__(
        self, model: Network, batch: LatentBatch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`."""
        network = self.prepared(model)
        losses = sharded_vmap(
            DenoisingObjective.example, self, network, batch.latents, batch.text, keys
        )
        return jnp.mean(losses), {}

    def prepared(self, network: Network) -> InPrecision:
        """The network as `example` takes it: in the arithmetic of `policy`, with `remat`."""
        return InPrecision(rematerialise(network, self.remat), self.policy)

    def example(
        self, network: Network, clean: Latent, text: Condition, key: Key
    ) -> Float[Array, ""]:
        """The weighted loss of one example."""
        time_key, noise_key, drop_key = jax.random.split(key, 3)
        clean = clean.astype(jnp.float32)
        t = self.times(time_key, self.schedule)
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        noise = jax.random.normal(noise_key, clean.shape, jnp.float32)
        noisy = corrupt(clean, noise, alpha, sigma)
        text = drop_caption(drop_key, text, self.null_text, self.dropout)

        output = network(noisy, t, text)
        check_output(output, clean)
        target = self.prediction.target(clean, noise, alpha, sigma)
        weight = self.weight((alpha / sigma) ** 2, self.prediction)
        return weight * jnp.mean((output - target) ** 2)


def drop_caption(key: Key, text: C, null: Condition, rate: float) -> C:
    """`text`, or with probability `rate` the condition `null` of the same structure and shapes.

    Of a condition that holds a caption and more, a null caption replaces the caption alone.
    """
    if isinstance(text, SizeCondition) and not isinstance(null, SizeCondition):
        return dataclasses.replace(text, text=drop_caption(key, text.text, null, rate))
    check_alike(text, null, "Caption dropout exchanges")
    dropped = jax.random.uniform(key) < rate
    return jax.tree.map(lambda a, b: jnp.where(dropped, a, b), null, text)
