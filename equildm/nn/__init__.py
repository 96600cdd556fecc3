"""Building blocks of networks. Each acts on one example, channels last."""

from ._init import initialised as initialised, shapes_of as shapes_of, split_key as split_key
from .attention import CrossAttn as CrossAttn
from .block_stack import AbstractBlock as AbstractBlock, BlockStack as BlockStack
from .conv import Conv as Conv
from .feed_forward import GEGLU as GEGLU, MLP as MLP, SwiGLU as SwiGLU
from .flash import attend as attend
from .joint_attention import JointAttn as JointAttn
from .kernels import fused_attend as fused_attend
from .linear import Linear as Linear, zeroed as zeroed
from .lora import (
    Adapters as Adapters,
    LoRALayer as LoRALayer,
    LoRAWeights as LoRAWeights,
    merge_lora as merge_lora,
    new_lora as new_lora,
    with_lora_layers as with_lora_layers,
)
from .modulation import (
    modulate as modulate,
    Modulation as Modulation,
    ModulationTable as ModulationTable,
)
from .norm import GroupNorm as GroupNorm, LayerNorm as LayerNorm, RMSNorm as RMSNorm
from .patches import PatchEmbed as PatchEmbed, patchify as patchify, unpatchify as unpatchify
from .positions import (
    Positions as Positions,
    RotaryPositions as RotaryPositions,
    SincosPositions as SincosPositions,
)
from .resample import Downsample as Downsample, Upsample as Upsample
from .resblock import ResBlock as ResBlock
from .text_projection import TextProjection as TextProjection
from .time import sinusoid as sinusoid, TimeEmbedding as TimeEmbedding
from .transformer import (
    SpatialTransformer as SpatialTransformer,
    TransformerBlock as TransformerBlock,
)
