"""Frozen feature networks, for perceptual losses and metrics."""

from .alexnet import AlexNet as AlexNet
from .classifier import Classifier as Classifier
from .clip_image import (
    clip_input as clip_input,
    CLIPImageConfig as CLIPImageConfig,
    CLIPImageTower as CLIPImageTower,
)
from .extractor import (
    AbstractFeatureExtractor as AbstractFeatureExtractor,
    pool_features as pool_features,
    pooled as pooled,
    Resized as Resized,
    stream_features as stream_features,
)
from .inception import (
    FID_2015 as FID_2015,
    InceptionStyle as InceptionStyle,
    InceptionV3 as InceptionV3,
    TORCHVISION as TORCHVISION,
)
from .lpips import LPIPS as LPIPS
from .resize import (
    antialiased_bicubic as antialiased_bicubic,
    Resize as Resize,
    tf1_bilinear as tf1_bilinear,
)
from .squeezenet import SqueezeNet as SqueezeNet
from .vgg import VGG16 as VGG16
