"""Seeds of random numbers."""

import numpy as np


def check_seeds(seeds: object, name: str = "seed") -> None:
    """**Raises** `ValueError` for a seed that is no whole number from 0 to `2^32 - 1`.

    JAX takes seeds modulo `2^32`, so that two of them would give the same numbers.
    """
    values = np.asarray(seeds)
    integers = values.size == 0 or np.issubdtype(values.dtype, np.integer)
    if not integers or np.any(values < 0) or np.any(values >= 2**32):
        raise ValueError(
            f"A {name} is a whole number from 0 to {2**32 - 1}, received {seeds}. Larger ones "
            "would repeat the numbers of smaller ones."
        )
