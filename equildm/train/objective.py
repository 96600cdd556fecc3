"""What is minimised."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key, Keys, Latent
from ..noise import AbstractPrediction, AbstractSchedule, AbstractTimes, AbstractWeight, corrupt
from ..runtime import Computing, Policy
from ..runtime.inside import over_examples
from .remat import Remat, rematerialise
from .state import TrainState

Metrics = dict[str, Float[Array, ""]]


class AbstractObjective(eqx.Module):
    """A loss of a model on a batch.

    An objective is everything a training step needs to know of the task, so that pretraining, a
    VAE, distillation and fine-tuning share one step and one loop. Whatever it holds (schedules,
    constants, frozen networks) is not trained.
    """

    @abc.abstractmethod
    def __call__(self, model: Any, batch: Any, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """**Arguments:**

        - `model`: what is trained; gradients are taken with respect to its arrays.
        - `batch`: arrays with a leading batch axis.
        - `keys`: one key for each example, so that a batch taken in parts draws the same numbers.

        **Returns:** the mean loss over the batch and named scalars to be logged.
        """


class AbstractMovingObjective(eqx.Module):
    """A loss that changes with the training itself, for instance one with an average as its target.

    The compiled step asks for the loss at its state. So the averages are the state's own arrays,
    neither copied nor kept a second time, with their shards and in every checkpoint; and objectives
    that look at nothing but model and batch need not know of them.
    """

    @abc.abstractmethod
    def at(self, state: TrainState) -> AbstractObjective:
        """The objective of the next update. Inside of the step, arrays of `state` are traced."""


class LatentDiffusion(AbstractObjective):
    """Denoising score matching on latents, conditioned on captions.

    For each example, `t` is drawn from `times`, `eps ~ N(0, I)`, `x_t = alpha x0 + sigma eps`, and

        loss = weight(SNR) * mean((network(x_t, t, text) - target)^2)

    with the target that `prediction` names (Ho et al. 2020, equation 14; Salimans & Ho 2022). With
    probability `dropout` the caption is replaced by `null_text`, which trains the unconditional
    branch of classifier-free guidance (Ho & Salimans 2022).

    **Fields:**

    - `schedule`, `prediction`, `weight`, `times`: see `equildm.noise`.
    - `null_text`: embedding of the empty caption; or whatever else the network is conditioned on.
    - `dropout`: share of captions dropped.
    - `policy`: dtype of the network's arithmetic; the loss is float32.
    - `remat`: which activations are computed again in the backward pass, see `rematerialise`.
    """

    schedule: AbstractSchedule
    prediction: AbstractPrediction
    weight: AbstractWeight
    times: AbstractTimes
    null_text: Any
    dropout: float = eqx.field(static=True, default=0.1)
    policy: Policy = eqx.field(static=True, default=Policy())
    remat: Remat = eqx.field(static=True, default="none")

    def __check_init__(self):
        if not 0.0 <= self.dropout <= 1.0:
            raise ValueError(
                f"Caption dropout is a share between 0 and 1, received {self.dropout}. "
                "Use 0.1 to train for classifier-free guidance, 0 for none."
            )

    def __call__(self, model: Any, batch: Any, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`. `batch` has `latents` and `text`."""
        network = Computing(rematerialise(model, self.remat), self.policy)
        losses = over_examples(
            LatentDiffusion.example, self, network, batch.latents, batch.text, keys
        )
        return jnp.mean(losses), {}

    def example(self, network: Any, clean: Latent, text: Any, key: Key) -> Float[Array, ""]:
        """The weighted loss of one example."""
        time_key, noise_key, drop_key = jax.random.split(key, 3)
        clean = clean.astype(jnp.float32)
        t = self.times(time_key, self.schedule)
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        noise = jax.random.normal(noise_key, clean.shape, jnp.float32)
        noisy = corrupt(clean, noise, alpha, sigma)
        text = drop_caption(drop_key, text, self.null_text, self.dropout)

        output = network(noisy, t, text)
        target = self.prediction.target(clean, noise, alpha, sigma)
        weight = self.weight((alpha / sigma) ** 2, self.prediction)
        return weight * jnp.mean((output - target) ** 2)


def drop_caption(key: Key, text: Any, null: Any, rate: float) -> Any:
    """`text`, or with probability `rate` `null`, of the same structure and shapes."""
    dropped = jax.random.uniform(key) < rate
    return jax.tree.map(lambda null, given: jnp.where(dropped, null, given), null, text)
