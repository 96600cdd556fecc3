"""A handful of a subject's latents, and those of its class, in batches."""

from typing import Any, final, NamedTuple, TYPE_CHECKING

import jax
import numpy as np

from .batch import LatentBatch
from .pipeline import AbstractDataset

if TYPE_CHECKING:
    import grain


class PriorBatch(NamedTuple):
    """As many examples of a subject as of its class."""

    subject: LatentBatch
    prior: LatentBatch


@final
class SubjectLatents(AbstractDataset):
    """Every pair of a subject's latent and one of its class, once an epoch.

    Gives `PriorBatch`; without a prior, `LatentBatch` of the subject, 64 times each an epoch.

    **Arguments:**

    - `subject`: a few, in numpy. Instead of embeddings, captions may be token ids.
    - `prior`: as many as one likes, or None.

    Raises `ValueError` where there is none.
    """

    def __init__(self, subject: LatentBatch, prior: LatentBatch | None = None):
        if len(subject.latents) == 0 or (prior is not None and len(prior.latents) == 0):
            raise ValueError("A subject and its class have at least one latent each; got none.")
        self._subject, self._prior = subject, prior

    def __len__(self) -> int:
        return len(self._subject.latents) * (
            64 if self._prior is None else len(self._prior.latents)
        )

    def gather(self, indices: Any) -> Any:
        """The examples of these numbers."""
        places, others = np.asarray(indices) % len(self._subject.latents), np.asarray(indices)
        subject = jax.tree.map(lambda leaf: leaf[places], self._subject)
        if self._prior is None:
            return subject
        others = others // len(self._subject.latents)
        return PriorBatch(subject, jax.tree.map(lambda leaf: leaf[others], self._prior))

    def arrange(self, order: "grain.MapDataset", batch: int, seed: int) -> "grain.MapDataset":
        del seed
        return order.batch(batch).map(self.gather)
