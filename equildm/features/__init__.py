"""Frozen feature networks, for perceptual losses and metrics."""

from .alexnet import AlexNet as AlexNet
from .extractor import (
    AbstractFeatureExtractor as AbstractFeatureExtractor,
    pool_features as pool_features,
    pooled as pooled,
)
from .lpips import LPIPS as LPIPS
from .vgg import VGG16 as VGG16
