"""Degradations of images, which super-resolution learns to undo.

A *degradation* is a distribution: `draw(generator)` returns an *operation* with every number fixed,
and an operation is a function of an image. So the statistics of a chain can be measured without an
image, and an operation can be compared with that of another library by itself.

    degradation = real_esrgan(scale=4)              # or any composition of the parts below
    low = degraded(image, degradation, generator)   # 8 bits in, 8 bits out

Composition: `Chain` (one after the other), `Maybe` (with a probability), `OneOf` (a choice),
`AnyOrder`. A new degradation is a class with `draw`.
"""

from .blur import Blur as Blur, Filter as Filter, SincBlur as SincBlur
from .chain import (
    Always as Always,
    AnyOrder as AnyOrder,
    Chain as Chain,
    Maybe as Maybe,
    Nothing as Nothing,
    OneOf as OneOf,
    Sequence as Sequence,
)
from .degradation import (
    AbstractDegradation as AbstractDegradation,
    AbstractOperation as AbstractOperation,
    Canvas as Canvas,
    degraded as degraded,
)
from .jpeg import JPEG as JPEG, RandomJPEG as RandomJPEG
from .kernels import (
    AbstractKernel as AbstractKernel,
    Gaussian as Gaussian,
    Plateau as Plateau,
    Sinc as Sinc,
)
from .noise import (
    GaussianNoise as GaussianNoise,
    PoissonNoise as PoissonNoise,
    RandomNoise as RandomNoise,
)
from .presets import bicubic as bicubic, DEGRADATIONS as DEGRADATIONS, real_esrgan as real_esrgan
from .resize import RandomResize as RandomResize, Resize as Resize, resized as resized
