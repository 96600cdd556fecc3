"""Whole models as one type and their samplers: text to image, upscaling and others."""

from .color_fix import color_baseline as color_baseline, color_fix as color_fix
from .control_to_image import ControlToImage as ControlToImage
from .inpainter import Inpainter as Inpainter, InpainterConfig as InpainterConfig
from .model import LatentDiffusion as LatentDiffusion, ModelConfig as ModelConfig
from .new_model import backbone_for as backbone_for, new_model as new_model
from .text_to_image import TextToImage as TextToImage
from .upscaler import UpscaleOptions as UpscaleOptions, Upscaler as Upscaler
from .upscaler_config import new_upscaler as new_upscaler, UpscalerConfig as UpscalerConfig
