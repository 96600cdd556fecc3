"""Names of a plan's options."""

from typing import Literal

Effort = Literal["O0", "O1", "O2"]
"""XLA's optimisation level."""

ProgramName = Literal["train", "sample"]
"""The training step, or a guided sampler."""
