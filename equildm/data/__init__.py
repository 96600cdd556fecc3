"""Captioned pictures -> typed batches.

source    random access to (image, caption, name): emoji, folder, tars, parquet, ArrayRecord, shapes
cache     every picture through the VAE and every caption through the text encoder, once
batches   shuffled, endless, split between processes, resumable by one integer
prefetch  on the device before they are asked for
"""

from .arrayrecord import (
    ArrayRecordSource as ArrayRecordSource,
    write_arrayrecord as write_arrayrecord,
)
from .batch import ImageBatch as ImageBatch, LatentBatch as LatentBatch
from .cache import cached_latents as cached_latents
from .checked import Skips as Skips
from .decode import decode_image as decode_image
from .emoji import EmojiSource as EmojiSource
from .folder import FolderSource as FolderSource
from .held import HeldPictures as HeldPictures
from .latents import CachedLatents as CachedLatents, CachedSample as CachedSample
from .open import open_source as open_source
from .parquet import ParquetSource as ParquetSource
from .photographs import PhotographSource as PhotographSource
from .pictures import Pictures as Pictures
from .pipeline import AbstractDataset as AbstractDataset, Batches as Batches, batches as batches
from .prefetch import Prefetch as Prefetch, prefetch as prefetch
from .restoration import Restoration as Restoration, RestorationBatch as RestorationBatch
from .sample import (
    AbstractSource as AbstractSource,
    Sample as Sample,
    UnusableSample as UnusableSample,
)
from .shapes import ShapesSource as ShapesSource
from .subject import PriorBatch as PriorBatch, SubjectLatents as SubjectLatents
from .subset import is_held_out as is_held_out, split as split, Subset as Subset
from .tinted import TintedEmoji as TintedEmoji
from .transforms import Crop as Crop, Cut as Cut, to_pixels as to_pixels, to_unit as to_unit
from .webdataset import WebDatasetSource as WebDatasetSource
