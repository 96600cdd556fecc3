"""What steers a network: the condition of a ControlNet, and the branch that reads it."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from .._types import Condition, Latent, Time
from .control_hint import HintEncoder


class ControlCondition(eqx.Module):
    """The condition of a `ControlNet`: a caption and a control image.

    **Fields:**

    - `text`: the caption, as the network takes it.
    - `image`: the control image in [-1, 1], or its latent, at the resolution of the hint encoder.
    """

    text: Condition
    image: Float[Array, "*batch image_height image_width channels"]


class AbstractControlBranch(eqx.Module):
    """The trained part of a `ControlNet`: from the noisy latent and the control image to residuals.

    **Fields:**

    - `hint`: encodes the control image.
    """

    hint: eqx.AbstractVar[HintEncoder]

    @abc.abstractmethod
    def __call__(self, x: Latent, t: Time, condition: ControlCondition) -> PyTree:
        """The residuals, which the network adds to its features; arguments as of `ControlNet`."""

    @property
    @abc.abstractmethod
    def outputs(self) -> PyTree:
        """The last layers of the branch: linear, zero at first, one for each residual."""
