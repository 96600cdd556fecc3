"""Names of options that need nothing else of the training: a command line is shown without jax."""

from collections.abc import Collection
from typing import Literal

EMAName = Literal["power", "decay", "decay-0.999", "decay-0.995", "decay-0.95"]
OptimizerName = Literal["adamw", "adamw-bf16", "adafactor"]
Remat = Literal["none", "blocks", "dots"]


def check_name(option: str, value: str, choices: Collection[str]) -> None:
    """**Raises** `ValueError` for a name that is not among the choices of an option."""
    if value not in choices:
        raise ValueError(f"--{option} is one of {', '.join(choices)}; received {value!r}.")
