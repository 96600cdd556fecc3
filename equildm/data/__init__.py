"""Data sets: sources of captioned images, the cache of latents, and typed batches.

source    random access to (image, caption, name): emoji, folder, tars, parquet, Fashion-MNIST, ...
cache     every image through the VAE and every caption through the text encoder, once
batches   shuffled, endless, split between processes, resumable by one integer
prefetch  on the device before the training needs them
"""

from .arrayrecord import (
    ArrayRecordSource as ArrayRecordSource,
    write_arrayrecord as write_arrayrecord,
)
from .arrow import ArrowSource as ArrowSource
from .batch import (
    full_precision as full_precision,
    ImageBatch as ImageBatch,
    LatentBatch as LatentBatch,
)
from .bucketed import BucketedLatents as BucketedLatents
from .buckets import Buckets as Buckets
from .builtin.emoji import EmojiSource as EmojiSource
from .builtin.fashion_mnist import FashionMNISTSource as FashionMNISTSource
from .builtin.photographs import PhotographSource as PhotographSource
from .builtin.shapes import ShapesSource as ShapesSource
from .builtin.tinted import TintedEmoji as TintedEmoji
from .cache import LatentCache as LatentCache
from .captioned_config import (
    CaptionedDataConfig as CaptionedDataConfig,
    Examples as Examples,
)
from .captioned_images import (
    CaptionedBatch as CaptionedBatch,
    CaptionedImages as CaptionedImages,
    MakeControl as MakeControl,
)
from .config import DataConfig as DataConfig
from .control_images import (
    blurred_colors as blurred_colors,
    canny_edges as canny_edges,
    CONTROLS as CONTROLS,
)
from .decode import decode_image as decode_image, read_image as read_image
from .degraded_config import DegradedDataConfig as DegradedDataConfig
from .degraded_pairs import DegradedBatch as DegradedBatch, DegradedPairs as DegradedPairs
from .folder import FolderSource as FolderSource
from .generated import generated_images as generated_images
from .held_squares import held_squares as held_squares, HeldSquares as HeldSquares
from .image_config import ImageDataConfig as ImageDataConfig
from .image_dataset import ImageDataset as ImageDataset
from .in_memory import InMemory as InMemory
from .latents import CachedLatents as CachedLatents, CachedSample as CachedSample
from .open import open_source as open_source
from .parallel_encoders import ParallelEncoders as ParallelEncoders
from .parquet import ParquetSource as ParquetSource
from .pipeline import (
    AbstractDataset as AbstractDataset,
    Batches as Batches,
    batches as batches,
    shuffled as shuffled,
)
from .prefetch import Prefetch as Prefetch, prefetch as prefetch
from .preview_captions import preview_captions as preview_captions
from .remarks import Remarks as Remarks
from .skips import Skips as Skips
from .source import (
    AbstractSource as AbstractSource,
    Sample as Sample,
    StoredImage as StoredImage,
    UnusableSample as UnusableSample,
)
from .splits import (
    HoldOut as HoldOut,
    is_held_out as is_held_out,
    split as split,
    split_unit as split_unit,
)
from .subject import (
    encode_images as encode_images,
    PriorBatch as PriorBatch,
    SubjectLatents as SubjectLatents,
)
from .subject_config import (
    Subject as Subject,
    SubjectConfig as SubjectConfig,
    with_token as with_token,
    without_token as without_token,
)
from .subset import Subset as Subset
from .transforms import Crop as Crop, Cut as Cut
from .usable import (
    captions_or_empty as captions_or_empty,
    centre_crops as centre_crops,
    named_split as named_split,
    SplitName as SplitName,
    usable_indices as usable_indices,
)
from .webdataset import WebDatasetSource as WebDatasetSource
