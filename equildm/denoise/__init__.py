"""Denoisers: networks, preconditioning and guidance. Each one wraps the one before."""

from .backbone import (
    AbstractBackbone as AbstractBackbone,
    AbstractBackboneConfig as AbstractBackboneConfig,
)
from .blocks import UNetFeatures as UNetFeatures
from .concat import (
    ConcatConfig as ConcatConfig,
    Concatenated as Concatenated,
    ImageCondition as ImageCondition,
    widen_input as widen_input,
)
from .control import ControlNet as ControlNet, ControlNetConfig as ControlNetConfig
from .control_branch import ControlCondition as ControlCondition
from .control_transformer import TransformerControlBranch as TransformerControlBranch
from .control_unet import ControlBranch as ControlBranch
from .convert_weights import convert_weights as convert_weights
from .denoiser import AbstractDenoiser as AbstractDenoiser
from .dit import WidthScaledDiT as WidthScaledDiT
from .dit_block import DiTBlock as DiTBlock
from .dit_config import (
    DiTConfig as DiTConfig,
    MMDiTConfig as MMDiTConfig,
    TransformerConfig as TransformerConfig,
)
from .guidance import Guided as Guided
from .guidance_embedding import (
    EmbeddedGuidance as EmbeddedGuidance,
    guidance_sinusoid as guidance_sinusoid,
    GuidanceConditioned as GuidanceConditioned,
    GuidanceEmbeddingConfig as GuidanceEmbeddingConfig,
)
from .mmdit import MMDiT as MMDiT
from .mmdit_block import MMDiTBlock as MMDiTBlock
from .names import BackboneName as BackboneName
from .network_config import (
    AbstractNetworkConfig as AbstractNetworkConfig,
    AbstractNetworkWrap as AbstractNetworkWrap,
)
from .null_text import NullTextGuidance as NullTextGuidance
from .precondition import Preconditioned as Preconditioned
from .presets import preset as preset, UNetConfig as UNetConfig
from .resolution_conditioning import (
    ResolutionConditioned as ResolutionConditioned,
    ResolutionConditioningConfig as ResolutionConditioningConfig,
    ResolutionEmbedding as ResolutionEmbedding,
)
from .shapes import input_shapes as input_shapes, network_shapes as network_shapes
from .size_conditioning import (
    SizeConditioned as SizeConditioned,
    SizeConditioningConfig as SizeConditioningConfig,
    SizeEmbedding as SizeEmbedding,
)
from .sizes import SIZES as SIZES, SMALL as SMALL
from .transformer_parts import FinalLayer as FinalLayer
from .transformer_presets import (
    BACKBONES as BACKBONES,
    dit_preset as dit_preset,
    DIT_SIZES as DIT_SIZES,
    mmdit_preset as mmdit_preset,
    MMDIT_SIZES as MMDIT_SIZES,
)
from .unet import WidthScaledUNet as WidthScaledUNet
from .without_variance import (
    WithoutVariance as WithoutVariance,
    WithoutVarianceConfig as WithoutVarianceConfig,
)
