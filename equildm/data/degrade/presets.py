"""Published chains of degradations."""

import math
from collections.abc import Callable

from .blur import Blur, SincBlur
from .chain import Always, AnyOrder, Chain, Maybe, OneOf
from .degradation import AbstractDegradation
from .jpeg import RandomJPEG
from .noise import RandomNoise
from .resize import MODES, RandomResize, Resize


def real_esrgan(scale: int = 4) -> Chain:
    """The second-order chain of Real-ESRGAN with its published numbers (Wang et al. 2021).

    Blur, resize, noise and JPEG; then the same, milder, with the blur in 80 % of the draws; then a
    resize to `1/scale`, with a sinc filter in 80 %, before or after the second JPEG. JPEG is
    libjpeg's with integer qualities, where the published code has a differentiable imitation.
    """
    check_scale(scale)
    small = 1 / scale
    sinc = SincBlur()
    final_sinc = SincBlur(cutoff=(math.pi / 3, math.pi))
    to_size = OneOf(tuple((1 / len(MODES), Always(Resize(small, mode))) for mode in MODES))
    return Chain(
        (
            OneOf(((0.1, sinc), (0.9, Blur(sigma=(0.2, 3.0))))),
            RandomResize(factors=(0.15, 1.5), up=0.2, down=0.7),
            RandomNoise(sigma=(1.0, 30.0), scale=(0.05, 3.0)),
            RandomJPEG((30, 95)),
            Maybe(0.8, OneOf(((0.1, sinc), (0.9, Blur(sigma=(0.2, 1.5)))))),
            RandomResize(of=small, factors=(0.3, 1.2), up=0.3, down=0.4),
            RandomNoise(sigma=(1.0, 25.0), scale=(0.05, 2.5)),
            AnyOrder((Chain((to_size, Maybe(0.8, final_sinc))), RandomJPEG((30, 95)))),
        )
    )


def bicubic(scale: int = 4) -> Always:
    """The classical benchmark: an antialiased bicubic resize to `1/scale`, and nothing else."""
    check_scale(scale)
    return Always(Resize(1 / scale, "antialiased"))


def check_scale(scale: int) -> None:
    """Raises `ValueError` for a factor below 2."""
    if scale < 2:
        raise ValueError(f"Super-resolution takes a whole factor of at least 2; got {scale}.")


DEGRADATIONS: dict[str, Callable[[int], AbstractDegradation]] = {
    "real-esrgan": real_esrgan,
    "bicubic": bicubic,
}
"""Name to constructor, which takes the scale."""
