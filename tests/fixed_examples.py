"""A data set of a few examples, for trainings of a few steps."""

import dataclasses

import jax
import numpy as np

from equildm.data import AbstractDataset, LatentBatch, shuffled


@dataclasses.dataclass(frozen=True)
class Examples(AbstractDataset):
    """Examples of one batch, in the order that is asked for."""

    batch: LatentBatch
    fingerprint: str = ""

    def __len__(self):
        return len(self.batch.latents)

    def parts(self, batch_size, of, seed):
        order, batch = shuffled(len(self), seed), batch_size // of
        return order.batch(batch).map(
            lambda i: jax.tree.map(lambda x: x[np.asarray(i)], self.batch)
        )
