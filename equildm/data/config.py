"""Which images a model is trained on, as options."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import tyro

from .._types import TextEmbedding
from ..latents import VAE
from ..runtime import Progress, Run
from ..text import AbstractTextEncoder, CutCaptions, embed, fingerprint
from .batch import LatentBatch
from .cache import cached_latents
from .latents import CachedLatents
from .open import open_source
from .option_checks import check_held_out, check_max_skipped, check_size
from .subset import HoldOut, split, split_unit, Subset
from .usable import spread_indices


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """A data set, its split, and how its images are cropped.

    training, held_out = config.splits()
    dataset = config.latents(vae, text_encoder)
    """

    source: Annotated[str, tyro.conf.arg(name="data")] = "emoji"
    """emoji, shapes, fashion-mnist, a folder of images with metadata.jsonl or .txt captions or of a
    folder for each class, tars (a glob), a .parquet or an .arrayrecord file."""
    size: int = 32
    """Side of the images in pixels; they are resized and cropped in the middle."""
    flip: bool = False
    """Train on mirror images as well."""
    held_out: float = 0.05
    """Share held out of training, chosen by a hash of the caption or of the image's name."""
    hold_out: HoldOut = dataclasses.field(default="auto", metadata={"before": "caption"})
    """What is held out: whole captions, single images, or auto: images where there are ten or more
    for each caption on average, as for classes, else captions."""
    max_skipped: float = dataclasses.field(default=0.05, metadata={"before": 1.0})
    """Share of the samples that may be unusable. One more is an error."""
    cache: Path = Path("runs/cache")
    """Folder of cached latents and text embeddings. Any number of runs share it."""

    def __post_init__(self) -> None:
        check_max_skipped(self.max_skipped)
        check_size(self.size)
        check_held_out(self.held_out)

    @classmethod
    def of_run(cls, run: Run) -> "DataConfig":
        """The `data` section of a run's config.json, whatever recipe wrote it.

        **Raises** `ValueError` if the run has none of this kind.
        """
        config = run.section("data", cls)
        if config is None:
            raise ValueError(
                f"{run.path} was made by {run.recipe}, whose data are no captioned latents. Give a "
                "run of pretrain.py, distill.py or another recipe that has a DataConfig."
            )
        return config

    def splits(self) -> tuple[Subset, Subset]:
        """`(training, held out)`."""
        return split(open_source(self.source), self.held_out, by=self.hold_out)

    def split_unit(self) -> Literal["caption", "image"]:
        """What is held out; where `hold_out` is "auto", the data decide."""
        return split_unit(open_source(self.source)) if self.hold_out == "auto" else self.hold_out

    def latents(self, vae: VAE, text_encoder: AbstractTextEncoder) -> CachedLatents:
        """The training split through both encoders, once: later runs read the cache."""
        training, _ = self.splits()
        return self._encoded(training, vae, text_encoder, self.flip, self.max_skipped)

    def held_out_latents(
        self, vae: VAE, text_encoder: AbstractTextEncoder, count: int
    ) -> LatentBatch | None:
        """Up to `count` held-out images, always the same ones, through the same caches.

        Unusable ones are left out. `None` where nothing is held out.
        """
        _, held_out = self.splits()
        if not len(held_out):
            return None
        chosen = Subset(held_out, spread_indices(len(held_out), count))
        latents = self._encoded(chosen, vae, text_encoder, flip=False, max_skipped=1.0)
        return latents.gather(range(len(latents)))

    def _encoded(
        self,
        source: Subset,
        vae: VAE,
        text_encoder: AbstractTextEncoder,
        flip: bool,
        max_skipped: float,
    ) -> CachedLatents:
        encode: Any = jax.jit(jax.vmap(lambda image: vae.encode_scaled(image)))
        cut = CutCaptions(text_encoder.tokenizer, text_encoder.max_tokens)

        def encode_captions(captions: Sequence[str]) -> TextEmbedding:
            cut.add(captions)
            return embed(text_encoder, captions)

        with Progress(len(source), label="encoding", unit="images") as progress:
            latents = cached_latents(
                source,
                size=self.size,
                encode_images=encode,
                encode_captions=encode_captions,
                key_parts={"vae": fingerprint(vae), "text": text_encoder.fingerprint},
                folder=self.cache,
                flip=flip,
                max_skipped=max_skipped,
                progress=lambda done, total: progress.update(done),
            )
        cut.log()
        return latents
