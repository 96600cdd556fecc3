"""The sizes of the transformers, as plain values that a run folder can hold."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import jax

from .._types import Key
from ..nn import (
    CrossAttn,
    GEGLU,
    JointAttn,
    LayerNorm,
    Linear,
    MLP,
    Modulation,
    ModulationTable,
    RMSNorm,
    RotaryPositions,
    SincosPositions,
    SwiGLU,
    TextProjection,
    TimeEmbedding,
)
from .backbone import AbstractBackboneConfig
from .blocks import Module
from .dit import WidthScaledDiT
from .dit_block import DiTBlock
from .mmdit import MMDiT
from .mmdit_block import MMDiTBlock
from .transformer_parts import FinalLayer

FEED_FORWARD: Mapping[str, Callable[..., Module]] = {"gelu": MLP, "geglu": GEGLU, "swiglu": SwiGLU}
"""Feed-forward layers by name."""

POOLED: Mapping[str, Callable[..., Module]] = {
    "mlp": partial(TextProjection, activation=jax.nn.silu),
    "linear": partial(Linear, bias=False),
}
"""Projections of a pooled vector by name."""


@dataclasses.dataclass(frozen=True)
class TransformerConfig(AbstractBackboneConfig):
    """What `DiTConfig` and `MMDiTConfig` have in common."""

    width: int
    """Width of a token."""
    depth: int
    """Number of blocks."""
    heads: int
    """Heads of every attention."""
    in_channels: int = 4
    """Channels of the latent."""
    out_channels: int = 4
    """Channels of the prediction."""
    context_width: int = 1024
    """Width of the text encoder's tokens."""
    pooled_width: int | None = None
    """Width of the text encoder's vector of an entire caption, if it has one."""
    patch: int = 2
    """Side of a patch."""
    feed_forward: Literal["gelu", "geglu", "swiglu"] = "gelu"
    """Feed-forward layer."""
    qk_norm: bool = False
    """Whether queries and keys are normalised, which bounds the attention's scores."""
    positions: Literal["sincos", "rotary"] = "sincos"
    """How tokens know where they are."""
    position_base: int | None = None
    """See `SincosPositions`."""
    position_spacing: float = 1.0
    """See `SincosPositions`."""
    position_largest: int | None = None
    """See `SincosPositions`."""
    scan: bool = True
    """Whether the blocks are scanned: see `BlockStack`. The weights are the same."""

    @property
    def multiple(self) -> int:
        """What the sides of a latent must divide by."""
        return self.patch

    @property
    def trained_side(self) -> int:
        """Side of the latents that its positions are of."""
        return (self.position_base or 1) * self.patch

    @property
    def has_paper_size(self) -> bool:
        """Whether the width is at least 256, where published learning rates hold."""
        return self.width >= 256

    def _parts(self) -> dict[str, Any]:
        """The arguments that both networks take."""
        sincos = partial(
            SincosPositions,
            base=self.position_base,
            spacing=self.position_spacing,
            largest=self.position_largest,
        )
        rotary = self.positions == "rotary"
        names = ("in_channels", "out_channels", "context_width", "pooled_width", "patch", "scan")
        return {name: getattr(self, name) for name in names} | {
            "positions": None if rotary else sincos,
            "rotary": RotaryPositions if rotary else None,
        }


@dataclasses.dataclass(frozen=True)
class DiTConfig(TransformerConfig):
    """The sizes of a `WidthScaledDiT`.

    The defaults are DiT's with an attention to captions. `modulation="shared"` and
    `cross_norm=False` make PixArt's block, `cross_attention=False` DiT's own.
    """

    modulation: Literal["block", "shared"] = "block"
    """Whether every block has its own modulation (adaLN-zero) or a table for a shared one."""
    cross_attention: bool = True
    """Whether blocks attend to the caption's tokens."""
    cross_norm: bool = True
    """Whether there is a norm in front of that attention."""
    feed_forward_eps: float = 1e-6
    """Epsilon of the norm in front of the feed-forward layer."""
    closed_times: bool = False
    """See `sinusoid`."""
    pooled_projection: Literal["mlp", "linear"] = "mlp"
    """What takes the pooled vector to the time's: two layers, or a matrix. The matrix is a table of
    classes where the vector says which class it is (one-hot)."""

    def build(self, *, key: Key) -> WidthScaledDiT:
        shared = self.modulation == "shared"
        qk_norm = RMSNorm if self.qk_norm else None
        attention = partial(CrossAttn, qkv_bias=True, qk_norm=qk_norm)
        kind = ModulationTable if shared else Modulation
        block = partial(
            DiTBlock,
            modulation=kind,
            self_attention=attention,
            cross_attention=attention if self.cross_attention else None,
            feed_forward=FEED_FORWARD[self.feed_forward],
            norm2=LayerNorm if self.cross_norm else None,
            norm3=partial(LayerNorm, eps=self.feed_forward_eps, affine=False),
        )
        return WidthScaledDiT(
            self.width,
            self.depth,
            self.heads,
            **self._parts(),
            block=block,
            caption=TextProjection if self.cross_attention else None,
            pooled=POOLED[self.pooled_projection],
            shared=Modulation if shared else None,
            final=partial(FinalLayer, modulation=kind),
            time=partial(TimeEmbedding, closed=self.closed_times),
            key=key,
        )


@dataclasses.dataclass(frozen=True)
class MMDiTConfig(TransformerConfig):
    """The sizes of an `MMDiT`."""

    dual_depth: int = 0
    """First blocks with a second attention, of the image alone."""
    time_offset: float = 0.0
    """Added to the time: 1 in Stable Diffusion 3, which counts from 1 to 1000."""

    def build(self, *, key: Key) -> MMDiT:
        qk_norm = RMSNorm if self.qk_norm else None
        block = partial(
            MMDiTBlock,
            attention=partial(JointAttn, qk_norm=qk_norm),
            feed_forward=FEED_FORWARD[self.feed_forward],
        )
        return MMDiT(
            self.width,
            self.depth,
            self.heads,
            **self._parts(),
            dual_depth=self.dual_depth,
            block=block,
            self_attention=partial(CrossAttn, qkv_bias=True, qk_norm=qk_norm),
            time=partial(TimeEmbedding, offset=self.time_offset),
            key=key,
        )
