"""Denoisers: networks, preconditioning and guidance. Each one wraps the one before."""

from .blocks import UNetFeatures as UNetFeatures
from .concat import (
    ConcatConfig as ConcatConfig,
    Concatenated as Concatenated,
    ImageCondition as ImageCondition,
    widen_input as widen_input,
)
from .control import (
    ControlBranch as ControlBranch,
    ControlCondition as ControlCondition,
    ControlNet as ControlNet,
    ControlNetConfig as ControlNetConfig,
)
from .denoiser import AbstractDenoiser as AbstractDenoiser
from .guidance import Guided as Guided
from .guidance_embedding import (
    EmbeddedGuidance as EmbeddedGuidance,
    guidance_sinusoid as guidance_sinusoid,
    GuidanceConditioned as GuidanceConditioned,
    GuidanceEmbeddingConfig as GuidanceEmbeddingConfig,
)
from .network_config import (
    AbstractNetworkConfig as AbstractNetworkConfig,
    AbstractNetworkWrap as AbstractNetworkWrap,
)
from .null_text import NullTextGuidance as NullTextGuidance
from .precondition import Preconditioned as Preconditioned
from .presets import preset as preset, SIZES as SIZES, SMALL as SMALL, UNetConfig as UNetConfig
from .shapes import input_shapes as input_shapes, network_shapes as network_shapes
from .size_conditioning import (
    SizeConditioned as SizeConditioned,
    SizeConditioningConfig as SizeConditioningConfig,
    SizeEmbedding as SizeEmbedding,
)
from .unet import WidthScaledUNet as WidthScaledUNet
