"""Scores of images: against a reference, against a caption, one set against another."""

from .caption_match import (
    caption_match as caption_match,
    CaptionMatcher as CaptionMatcher,
    fit_caption_matcher as fit_caption_matcher,
)
from .frechet import (
    FeatureStatistics as FeatureStatistics,
    frechet_distance as frechet_distance,
    frechet_name as frechet_name,
)
from .psnr import psnr as psnr
from .retrieval import CaptionMatch as CaptionMatch, retrieval as retrieval
from .ssim import ssim as ssim
