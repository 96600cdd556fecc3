"""Scores of images: beside a reference image, beside a caption, one set beside another."""

from .bootstrap import interval as interval
from .caption_match import (
    caption_match as caption_match,
    CaptionMatcher as CaptionMatcher,
    fit_caption_matcher as fit_caption_matcher,
)
from .clip_score import clip_score as clip_score
from .comparison import Comparison as Comparison
from .config import (
    ExtractorConfig as ExtractorConfig,
    ScoreConfig as ScoreConfig,
    settings_name as settings_name,
)
from .evaluator import Evaluator as Evaluator
from .frechet import frechet_distance as frechet_distance, frechet_name as frechet_name
from .image_pairs import compare_pairs as compare_pairs
from .image_sets import (
    check_enough as check_enough,
    compare_sets as compare_sets,
    FIDReference as FIDReference,
)
from .inception_score import (
    inception_score as inception_score,
    InceptionScore as InceptionScore,
)
from .kid import kernel_distance as kernel_distance, KID as KID
from .names import MetricName as MetricName, SetMetricName as SetMetricName
from .precision_recall import (
    precision_recall as precision_recall,
    PrecisionRecall as PrecisionRecall,
)
from .psnr import psnr as psnr
from .resizes import RESIZES as RESIZES
from .restoration import (
    bicubic_baseline as bicubic_baseline,
    reconstruction_baseline as reconstruction_baseline,
    reconstruction_quality as reconstruction_quality,
    restoration_table as restoration_table,
    RestorationScorer as RestorationScorer,
    RestorationScores as RestorationScores,
)
from .retrieval import CaptionMatch as CaptionMatch, retrieval as retrieval
from .score import Score as Score, score_name as score_name
from .ssim import ssim as ssim
from .statistics import (
    collect_statistics as collect_statistics,
    describe_features as describe_features,
    FeatureStatistics as FeatureStatistics,
)
from .subject import (
    GroupedValues as GroupedValues,
    subject_summary as subject_summary,
    SubjectEvaluator as SubjectEvaluator,
)
