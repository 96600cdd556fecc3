"""Noisy latent to clean estimate: networks, preconditioning, guidance. Each wraps the other."""

from .concatenated import (
    Concatenated as Concatenated,
    concatenated as concatenated,
    PictureCondition as PictureCondition,
)
from .denoiser import AbstractDenoiser as AbstractDenoiser
from .embedded import (
    EmbeddedGuidance as EmbeddedGuidance,
    guidance_sinusoid as guidance_sinusoid,
    GuidanceConditioned as GuidanceConditioned,
)
from .family import preset as preset, SIZES as SIZES, SMALL as SMALL, UNetConfig as UNetConfig
from .guidance import Guided as Guided
from .precondition import Preconditioned as Preconditioned
from .unet import WidthScaledUNet as WidthScaledUNet
