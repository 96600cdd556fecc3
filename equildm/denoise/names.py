"""Names of kinds of networks, for options."""

from typing import Literal

BackboneName = Literal["unet", "dit", "mmdit"]
"""Kind of a network."""
