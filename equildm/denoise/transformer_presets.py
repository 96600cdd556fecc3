"""Families of transformers with the parameters of the paper's UNets, and DiT's own sizes."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .backbone import AbstractBackboneConfig
from .dit_config import DiTConfig, MMDiTConfig, TransformerConfig
from .names import BackboneName
from .presets import preset

C = TypeVar("C", bound=TransformerConfig)

Sizes = Mapping[str, tuple[int, int, int]]
"""`(width, depth, heads)` by name."""

DIT_SIZES: Sizes = {
    "39M": (256, 26, 4),
    "83M": (384, 25, 6),
    "145M": (512, 25, 8),
    "223M": (640, 24, 10),
    "318M": (768, 24, 12),
    "430M": (896, 24, 14),
    "558M": (1024, 24, 16),
    "704M": (1152, 24, 18),
    "866M": (1280, 24, 20),
    "2B": (2048, 24, 16),
    "5B": (3072, 24, 24),
}
"""Within 3 % of the parameters of the UNet of that name, by the width alone: the depth is 24 to 26.
Heads are 64 wide, and 128 from 2B on."""

MMDIT_SIZES: Sizes = {
    "39M": (256, 17, 4),
    "83M": (320, 23, 5),
    "145M": (448, 20, 7),
    "223M": (512, 24, 8),
    "318M": (640, 22, 10),
    "430M": (704, 24, 11),
    "558M": (832, 23, 13),
    "704M": (896, 25, 14),
    "866M": (1024, 23, 16),
    "2B": (1536, 26, 12),
    "5B": (2304, 26, 18),
}
"""The same for the `MMDiT`."""

DIT_PAPER: Sizes = {
    "S/2": (384, 12, 6),
    "B/2": (768, 12, 12),
    "L/2": (1024, 24, 16),
    "XL/2": (1152, 28, 16),
}
"""DiT's own (Peebles & Xie 2023, table 1), patch 2. With `cross_attention=False` they have its
parameters, but for the embedding of the classes."""

SMALL_TRANSFORMERS: Sizes = {
    "quick": (128, 6, 2),
    "tiny": (128, 6, 2),
    "mini": (192, 12, 3),
    "small": (256, 14, 4),
}
"""Below these, for small data and for tests. `"quick"` is the default of `recipes/pretrain.py`, for
every kind of network; here it is `"tiny"`."""


def dit_preset(size: str, **overrides: Any) -> DiTConfig:
    """A `DiTConfig` by name: `"39M"` to `"5B"`, DiT's `"S/2"` to `"XL/2"`, `"quick"`, `"tiny"`,
    `"mini"` or `"small"`.

    The family normalises queries and keys; DiT's own sizes do not. `overrides` are other fields.
    **Raises** `ValueError` for another name.
    """
    return _config(DiTConfig, {**SMALL_TRANSFORMERS, **DIT_SIZES, **DIT_PAPER}, size, overrides)


def mmdit_preset(size: str, **overrides: Any) -> MMDiTConfig:
    """An `MMDiTConfig` by name: `"39M"` to `"5B"`, `"quick"`, `"tiny"`, `"mini"` or `"small"`; see
    `dit_preset`."""
    return _config(MMDiTConfig, {**SMALL_TRANSFORMERS, **MMDIT_SIZES}, size, overrides)


BACKBONES: Mapping[BackboneName, Callable[..., AbstractBackboneConfig]] = {
    "unet": preset,
    "dit": dit_preset,
    "mmdit": mmdit_preset,
}
"""A config by name, for every kind of network: `BACKBONES[kind](size, **overrides)`."""


def _config(kind: type[C], sizes: Sizes, size: str, overrides: dict[str, Any]) -> C:
    if size not in sizes:
        raise ValueError(
            f"A preset of {kind.__name__} is one of {', '.join(sizes)}; received {size!r}. "
            "Use one of these names, or build the config with your own sizes."
        )
    values = dict(zip(("width", "depth", "heads"), sizes[size], strict=True))
    return kind(**{**values, "qk_norm": size not in DIT_PAPER, **overrides})
