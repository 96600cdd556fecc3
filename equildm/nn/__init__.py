"""Building blocks of networks. Each acts on one example, channels last."""

from ._init import initialised as initialised
from .attention import CrossAttn as CrossAttn
from .conv import Conv as Conv
from .feed_forward import GEGLU as GEGLU
from .flash import attend as attend
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
from .norm import GroupNorm as GroupNorm, LayerNorm as LayerNorm
from .resample import Downsample as Downsample, Upsample as Upsample
from .resblock import ResBlock as ResBlock
from .time import sinusoid as sinusoid, TimeEmbedding as TimeEmbedding
from .transformer import (
    SpatialTransformer as SpatialTransformer,
    TransformerBlock as TransformerBlock,
)
