"""What scores of two sets of features share."""

import numpy as np


def check_pair(a: np.ndarray, b: np.ndarray, *, least: int) -> None:
    """Raises `ValueError` unless both are finite features of one width, of `least` images each."""
    fits = a.ndim == b.ndim == 2 and a.shape[1] == b.shape[1] and min(len(a), len(b)) >= least
    if not fits or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(
            f"Two sets of finite features (images, features) of one width are compared, at least "
            f"{least} images each, received shapes {a.shape} and {b.shape}."
        )
