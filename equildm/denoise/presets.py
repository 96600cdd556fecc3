"""The paper's family of UNets by width or by size name (table 1), and smaller ones."""

import dataclasses
from typing import TYPE_CHECKING

from .backbone import AbstractBackboneConfig
from .sizes import QUICK, SIZES, SMALL

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .._types import Key
    from .unet import WidthScaledUNet


@dataclasses.dataclass(frozen=True)
class UNetConfig(AbstractBackboneConfig):
    """The sizes of a `WidthScaledUNet`, as plain values that a run folder can hold."""

    width: int
    """Base number of channels, `c`."""
    in_channels: int = 4
    """Channels of the latent."""
    out_channels: int = 4
    """Channels of the prediction."""
    context_width: int = 1024
    """Width of the text encoder's tokens (1024 reproduces the paper's counts)."""
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """Channels of each level in multiples of the width."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Residual blocks of each level on the way down."""
    transformer_depths: tuple[int, ...] = (1, 1, 1, 0)
    """Transformer blocks after each residual block of a level."""
    heads: int | tuple[int, ...] = 8
    """Attention heads, at every level or one number for each."""
    groups: int = 32
    """Groups of the norms."""
    linear_projections: bool = False
    """Whether its files keep the maps in and out of a transformer as linear ones (Stable Diffusion
    2) or as 1x1 convolutions (1). The network is the same."""

    def build(self, *, key: "Key") -> "WidthScaledUNet":
        """The network with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""
        from .unet import WidthScaledUNet

        sizes = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del sizes["linear_projections"]
        return WidthScaledUNet(**sizes, key=key)

    @property
    def multiple(self) -> int:
        """What the sides of a latent must divide by."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def has_paper_size(self) -> bool:
        """Whether the width is at least 64, as in the paper."""
        return self.width >= 64


def preset(size: str | int, **overrides) -> UNetConfig:
    """The family's member of a given size.

    **Arguments:**

    - `size`: a name (`"39M"` to `"5B"`, or `"tiny"`, `"mini"`, `"small"`), or a width: 64 to 768
        in the paper, any multiple of 8 here. Norms have 32 groups from width 64 on, as in the
        paper, and 8 below and where 32 do not divide the width: a group of one channel would lose
        its mean. `"quick"` is no member of the family: it has fewer levels and blocks.
    - `overrides`: other fields of `UNetConfig`, for instance `context_width=384`.
    """
    if size == "quick":
        return UNetConfig(**{**QUICK, "groups": 8, **overrides})
    widths = SIZES | SMALL
    if isinstance(size, str) and size.isdigit():
        size = int(size)
    width = widths.get(size) if isinstance(size, str) else size
    if width is None:
        raise ValueError(
            f"A preset is one of quick, {', '.join(widths)}, or a width; received {size!r}. "
            "Use one of these names, or a number such as 64."
        )
    if width <= 0 or width % 8:
        raise ValueError(
            f"A preset's width must be a positive multiple of 8, received {width}. Build a "
            "UNetConfig with its own groups and heads for other widths."
        )
    groups = 32 if width >= 64 and width % 32 == 0 else 8
    return UNetConfig(width, **{"groups": groups, **overrides})
