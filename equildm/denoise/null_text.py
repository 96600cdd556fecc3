"""Guidance for networks that are conditioned on an image as well as on a caption."""

import dataclasses

from .._types import Condition, Latent, NoiseLevel
from .denoiser import AbstractDenoiser


class NullTextGuidance(AbstractDenoiser):
    """Guidance that replaces the caption only: the image of the condition stays.

    It is conditioned on `(condition, null)`, where `condition` has a field `text`. A `null` that is
    the embedding of a caption becomes that condition with its caption replaced, so that one null
    caption serves a batch of different images. A `null` that is a whole condition stays as it is.

    **Fields:**

    - `denoiser`: a guided denoiser, such as `Guided`.
    """

    denoiser: AbstractDenoiser

    def __call__(self, y: Latent, s: NoiseLevel, condition: tuple[Condition, Condition]) -> Latent:
        """See `AbstractDenoiser`."""
        conditional, null = condition
        if not isinstance(null, type(conditional)):
            null = dataclasses.replace(conditional, text=null)
        return self.denoiser(y, s, (conditional, null))
