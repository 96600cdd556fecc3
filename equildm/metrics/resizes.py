"""How images are resized for Inception-v3, by name."""

from collections.abc import Callable, Mapping

from ..features import antialiased_bicubic, Resize, tf1_bilinear

RESIZES: Mapping[str, Callable[[], Resize]] = {
    "tf1": tf1_bilinear,
    "antialiased": antialiased_bicubic,
}
"""Name to constructor: FID's own resize to 299 pixels, and clean-FID's."""
