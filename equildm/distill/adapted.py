"""Students that are a few low-rank adapters."""

from typing import Any

from ..denoise import AbstractDenoiser
from ..nn import with_adapters
from .student import AbstractStudent


class AdaptedStudent(AbstractStudent):
    """A network of which low-rank adapters alone are trained, averaged and kept (LCM-LoRA).

    Where `network` holds the very arrays of the teacher's network, the two lie in memory once.

    **Fields:**

    - `student`: what the adapted network becomes.
    - `network`: not trained.
    """

    student: AbstractStudent
    network: Any

    def __call__(self, model: Any) -> AbstractDenoiser:
        """See `AbstractStudent`; `model` is `equildm.nn.Adapters`."""
        return self.student(with_adapters(self.network, model))
