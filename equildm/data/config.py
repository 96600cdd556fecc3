"""Which images a model is trained on, as options."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Annotated, TYPE_CHECKING

import tyro

from ..runtime.options import Hidden, Location
from .buckets import Buckets
from .first_captions import Captions, FirstCaptions, with_captions
from .option_checks import check_held_out, check_max_skipped, check_size
from .source import AbstractSource
from .splits import HoldOut, split, split_unit, Unit, unit_of
from .subset import Subset
from .usable import spread_indices

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from ..latents import VAE
    from ..runtime import Run
    from ..text import AbstractTextEncoder
    from .batch import LatentBatch
    from .bucketed import BucketedLatents
    from .cache import LatentCache
    from .latents import CachedLatents
    from .parallel_encoders import ParallelEncoders


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """A data set, its split, and how its images are cropped.

    training, held_out = config.splits()
    dataset = config.latents(vae, text_encoder)
    """

    source: Annotated[str, tyro.conf.arg(name="data")] = "emoji"
    """emoji, shapes, fashion-mnist, a folder of images with metadata.jsonl or .txt captions or of a
    folder for each class, tars (a glob), a .parquet or an .arrayrecord file; of this machine, or at
    an address, as s3://bucket/train-*.tar."""
    size: int = 32
    """Side of the images in pixels; they are resized and cropped in the middle."""
    buckets: float | None = None
    """Largest ratio of sides: images keep their shape nearly, with as many pixels as a square of
    --size. Each batch is of one shape. By default they are cut to squares."""
    bucket_step: int = 64
    """What the sides of these shapes divide by, in pixels."""
    flip: bool = False
    """Train on mirror images as well."""
    held_out: float = 0.05
    """Share held out of training, chosen by a hash of the caption or of the image's name."""
    hold_out: HoldOut = dataclasses.field(default="auto", metadata={"before": "caption"})
    """What is held out: whole captions, single images, or auto: images where there are ten or more
    for each caption on average, as for classes, else captions."""
    max_skipped: float = dataclasses.field(default=0.05, metadata={"before": 1.0})
    """Share of the samples that may be unusable. One more is an error."""
    captions: Captions = dataclasses.field(default="all", metadata={"before": "first"})
    """Of several captions of an image: one that is drawn anew each epoch, or always the first."""
    cache: Location = "runs/cache"
    """Folder of cached latents and text embeddings, here or at an address. Any number of runs share
    it."""
    record: Hidden[str] = ""
    """What tells a run's split again, of its checkpoints (`split`). Other data are refused."""

    def __post_init__(self) -> None:
        check_max_skipped(self.max_skipped)
        check_size(self.size)
        check_held_out(self.held_out)
        self.shapes()

    def shapes(self) -> Buckets | None:
        """The shapes of the images, or None for squares.

        **Raises** `ValueError` for sizes that cannot be.
        """
        if self.buckets is None:
            return None
        if self.bucket_step < 1 or self.size % self.bucket_step or self.size < self.bucket_step:
            raise ValueError(
                "With --buckets, --size is a multiple of --bucket-step, received --size "
                f"{self.size} and --bucket-step {self.bucket_step}. The step is a multiple of the "
                "VAE's factor times the network's: for instance --size 96 --bucket-step 32."
            )
        return Buckets(self.size, self.bucket_step, self.buckets)

    def check_step(self, multiple: int) -> None:
        """Refuses a step of buckets for a model whose sides divide by `multiple` pixels.

        **Raises** `ValueError`.
        """
        if self.buckets is not None and self.bucket_step % multiple:
            raise ValueError(
                f"The sides of this model's images are multiples of {multiple} pixels, received "
                f"--bucket-step {self.bucket_step}. Use for instance {multiple}."
            )

    @classmethod
    def of_run(cls, run: "Run") -> "DataConfig":
        """The `data` section of a run's config.json, whatever recipe wrote it.

        With the record of its split, see `split`.

        **Raises** `ValueError` if the run has none of this kind.
        """
        from .open import record_of_run, section_of_run

        config = section_of_run(run, "data", cls)
        if config is None:
            raise ValueError(
                f"{run.path} was made by {run.recipe}, whose data are no captioned latents. Give a "
                "run of pretrain.py, distill.py or another recipe that has a DataConfig."
            )
        return dataclasses.replace(config, record=record_of_run(run) or config.record)

    def splits(self, source: AbstractSource | None = None) -> tuple[Subset, Subset]:
        """`(training, held out)`.

        **Arguments:**

        - `source`: what `self.source` names, if it is open already.

        **Raises** `ValueError`, see `split`.
        """
        from .open import open_source

        source = open_source(self.source) if source is None else source
        source = with_captions(source, self.captions)
        return split(source, self.held_out, by=self.hold_out, record=self.record)

    def split_unit(self) -> Unit:
        """What is held out; where `hold_out` is "auto", the data decide."""
        from .open import open_source

        if self.record:
            return unit_of(self.record)
        return split_unit(open_source(self.source)) if self.hold_out == "auto" else self.hold_out

    def latents(
        self, vae: "VAE", text_encoder: "AbstractTextEncoder", *, with_sizes: bool = False
    ) -> "CachedLatents | BucketedLatents":
        """The training split through both encoders, once: later runs read the cache.

        With `with_sizes` the conditions are `SizeCondition`s.
        """
        from .parallel_encoders import ParallelEncoders

        training, _ = self.splits()
        encoders = ParallelEncoders(vae, text_encoder)
        latents: CachedLatents | BucketedLatents
        with self._cache(encoders, len(training), self.flip, self.max_skipped) as cache:
            if (buckets := self.shapes()) is None:
                latents = cache.latents(training, self.size, with_sizes=with_sizes)
            else:
                latents = cache.bucketed(training, buckets, with_sizes=with_sizes)
        latents.split = training.record
        return latents

    def held_out_latents(
        self,
        vae: "VAE",
        text_encoder: "AbstractTextEncoder",
        count: int,
        *,
        with_sizes: bool = False,
    ) -> "LatentBatch | None":
        """Up to `count` held-out images, always the same ones, through the same caches, as squares.

        Unusable ones are left out, and of several captions the first is used. `None` where nothing
        is held out.
        """
        from .parallel_encoders import ParallelEncoders

        _, held_out = self.splits()
        if not len(held_out):
            return None
        chosen = FirstCaptions(Subset(held_out, spread_indices(len(held_out), count)))
        encoders = ParallelEncoders(vae, text_encoder)
        with self._cache(encoders, len(chosen), flip=False, max_skipped=1.0) as cache:
            latents = cache.latents(chosen, self.size, with_sizes=with_sizes)
        return latents.gather(range(len(latents)))

    @contextlib.contextmanager
    def _cache(
        self, encoders: "ParallelEncoders", total: int, flip: bool, max_skipped: float
    ) -> "Iterator[LatentCache]":
        """The cache of these encoders, which shows its progress."""
        from ..runtime import Progress

        with Progress(total, label="encoding", unit="images") as progress:
            yield encoders.cache(
                self.cache,
                total,
                flip=flip,
                max_skipped=max_skipped,
                progress=lambda done, total: progress.update(done),
            )
        encoders.cut.log()
