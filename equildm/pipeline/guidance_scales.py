"""The guidance scale of each image."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

GuidanceScale = float | int | Sequence[float | int]


def checked_scales(
    scale: GuidanceScale, count: int, *, cfg_plus_plus: bool
) -> Float[np.ndarray, "images"]:
    """One scale for each of `count` images. **Raises** `ValueError` for what is none."""
    scales = np.asarray(scale, np.float32)
    if scales.shape not in ((), (count,)) or not np.isfinite(scales).all():
        raise ValueError(
            "The guidance scale is a finite number, or one for each image, received "
            f"{scale} for {count} images."
        )
    if cfg_plus_plus and np.any((scales < 0) | (scales > 1)):
        raise ValueError(
            f"CFG++ takes guidance scales from 0 to 1, received {scale}. Pass "
            "guidance_scale=0.6, for example."
        )
    return np.broadcast_to(scales, (count,))


def batch_scales(scales: np.ndarray, index: np.ndarray) -> np.ndarray | float:
    """The scales of one batch. The compiler knows a Python number 1 or 0: it is one evaluation."""
    for single in (1.0, 0.0):
        if np.all(scales == single):
            return single
    return scales[index]
