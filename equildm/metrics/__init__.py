"""Scores of images: against a reference, against a caption, one set against another."""

from .caption_match import (
    caption_match as caption_match,
    CaptionMatcher as CaptionMatcher,
    fit_caption_matcher as fit_caption_matcher,
)
from .clip_score import CLIP as CLIP, clip_score as clip_score
from .frechet import frechet_distance as frechet_distance, frechet_name as frechet_name
from .inception_score import (
    inception_score as inception_score,
    InceptionScore as InceptionScore,
)
from .kid import kernel_distance as kernel_distance, KID as KID
from .precision_recall import (
    precision_recall as precision_recall,
    PrecisionRecall as PrecisionRecall,
)
from .psnr import psnr as psnr
from .retrieval import CaptionMatch as CaptionMatch, retrieval as retrieval
from .score import Score as Score, score_name as score_name
from .ssim import ssim as ssim
from .statistics import (
    collect_statistics as collect_statistics,
    FeatureStatistics as FeatureStatistics,
)
