"""The tables of levels that diffusers publishes."""

from typing import Any

import numpy as np
from diffusers.schedulers import AysSchedules


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.array(table) for name, table in AysSchedules.items()}
