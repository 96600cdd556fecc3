"""The sizes of a VAE, as options."""

import dataclasses
from typing import TYPE_CHECKING

from ..runtime.options import Hidden

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .._types import Key
    from .vae import VAE


@dataclasses.dataclass(frozen=True)
class VAEConfig:
    """The sizes of a `VAE`, as plain values."""

    width: int = 128
    """Channels at the image's resolution."""
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """Channels of each level in multiples of the width; one halving between two levels."""
    depth: int = 2
    """Residual blocks of each level of the encoder; one more in the decoder."""
    latent_channels: int = 4
    """Channels of the latent."""
    image_channels: Hidden[int] = 3
    """Channels of the image."""
    groups: int = 32
    """Groups of the norms."""
    scale: Hidden[float] = 0.18215
    """Factor from raw to scaled latents, after the shift."""
    shift: Hidden[float] = 0.0
    """Subtracted from raw latents before they are scaled."""

    @property
    def factor(self) -> int:
        """Pixels of the image per position of the latent, in each direction."""
        return 2 ** (len(self.multipliers) - 1)

    def build(self, *, key: "Key") -> "VAE":
        """The network with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""
        from .vae import VAE

        sizes = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return VAE(**sizes, key=key)
