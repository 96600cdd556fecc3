"""Control images made of the images themselves: edges and colours."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8

from .captioned_images import MakeControl

_NEIGHBOURS = ((0, 1), (1, 1), (1, 0), (1, -1))


def canny_edges(
    image: UInt8[np.ndarray, "height width 3"],
    sigma: float = 0.7,
    low: float = 0.03,
    high: float = 0.08,
) -> UInt8[np.ndarray, "height width 3"]:
    """Thin white edges on black (Canny 1986).

    A Gaussian blur; the gradient by Sobel's filter, at each pixel of the colour that changes most;
    of it the ridges; and of these the connected ones that are strong somewhere.

    **Arguments:**

    - `image`: 8 bits a channel.
    - `sigma`: standard deviation of the blur in pixels.
    - `low`, `high`: gradients that may belong to an edge, and that surely do; the gradient at a
        step from black to white without blur is 0.5.
    """
    from scipy import ndimage  # here: its import takes half a second

    smooth = ndimage.gaussian_filter(
        image.astype(np.float32) / 255, (sigma, sigma, 0), mode="nearest"
    )
    slopes = np.stack([_slope(smooth, axis) for axis in (0, 1)])
    steepest = np.argmax(np.linalg.norm(slopes, axis=0), axis=-1)[..., None]
    down, across = (np.take_along_axis(slope, steepest, axis=-1)[..., 0] for slope in slopes)
    gradient = np.hypot(down, across)
    direction = np.rint(np.arctan2(down, across) / (np.pi / 4)).astype(int) % 4
    padded = np.pad(gradient, 1)
    ridge = np.zeros(gradient.shape, bool)
    for number, (row, column) in enumerate(_NEIGHBOURS):
        ahead, behind = (
            padded[1 + sign * row :, 1 + sign * column :][: image.shape[0], : image.shape[1]]
            for sign in (1, -1)
        )
        ridge |= (direction == number) & (gradient > ahead) & (gradient >= behind)
    labels, _ = ndimage.label(ridge & (gradient > low), structure=np.ones((3, 3)))
    strong = np.unique(labels[ridge & (gradient > high)])
    connected = np.isin(labels, strong[strong > 0])
    return np.repeat(np.where(connected, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)


def blurred_colors(
    image: UInt8[np.ndarray, "height width 3"], blur: float = 0.1
) -> UInt8[np.ndarray, "height width 3"]:
    """The image blurred, so that colours remain and shapes do not.

    **Arguments:**

    - `image`: 8 bits a channel.
    - `blur`: standard deviation of the Gaussian, as a share of the shorter side.
    """
    from scipy import ndimage  # here: its import takes half a second

    sigma = blur * min(image.shape[:2])
    blurred = ndimage.gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="nearest")
    return np.rint(blurred).astype(np.uint8)


CONTROLS: Mapping[str, MakeControl] = {"edges": canny_edges, "colors": blurred_colors}
"""Kinds of control images by name."""


def _slope(
    image: Float[np.ndarray, "height width 3"], axis: int
) -> Float[np.ndarray, "height width 3"]:
    """The derivative along an axis by Sobel's filter, of each colour for itself."""
    from scipy import ndimage  # here: its import takes half a second

    difference = ndimage.correlate1d(image, [-0.5, 0, 0.5], axis, mode="nearest")
    return ndimage.correlate1d(difference, [0.25, 0.5, 0.25], 1 - axis, mode="nearest")
