"""Scoring many sets of images against one reference, while the device goes on.

reference = Reference.load(path)                # or fit_reference(...).save(path)
scorer = Scorer(reference, vgg, captions)
pixels, match, fid = scorer.on_device(images)   # queued behind the sampler
scores = scorer.scores(match, fid)              # on the host
"""

import dataclasses
import zlib
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from ..features import AbstractFeatureExtractor, pooled
from ..images import to_unit
from ..metrics import describe_features, frechet_name, retrieval
from ..metrics.caption_match import image_vectors, TAPS
from .jackknife import frechet_spread, FrechetReference, leave_out, leave_out_images
from .reference import Reference

Pixels = UInt8[Array, "batch height width 3"]
Features = Float[Array, "batch features"]
OtherFeatures = Float[Array, "batch other_features"]


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of one set of images; the fields are those of `Row`."""

    score: str
    fid: float
    fid_spread: tuple[float, ...]
    match: float
    match_low: float
    match_high: float
    count: int
    reference: str


class Scorer:
    """Scores sets of images of the same captions.

    The jackknife leaves out groups of captions (`leave_out`), or of images (`leave_out_images`)
    where there are fewer distinct captions than groups, as with the names of ten classes.
    """

    def __init__(
        self,
        reference: Reference,
        vgg: AbstractFeatureExtractor,
        captions: Sequence[str],
        *,
        extractor: AbstractFeatureExtractor | None = None,
        groups: int = 40,
        seed: int = 0,
    ):
        """**Arguments:**

        - `reference`: of the same networks.
        - `vgg`: network of the caption matcher; a `features.Classifier` in its place.
        - `captions`: of each image, in order.
        - `extractor`: of the Frechet distance; by default `vgg`, whose features are then
            computed once for both scores.
        - `groups`: of the jackknife, of captions or of images as above.
        - `seed`: of the groups, and of the captions that each one is told from.

        **Raises** `ValueError` for a reference without one of the captions.
        """
        self.reference = reference
        self.captions = tuple(captions)
        self._vgg, self._seed = vgg, seed
        self._extractor = None if extractor is vgg else extractor
        position = {caption: i for i, caption in enumerate(reference.captions)}
        missing = [caption for caption in captions if caption not in position]
        if missing:
            raise ValueError(
                f"The reference lacks the caption {missing[0]!r}. Remove its file; it will be "
                "computed again."
            )
        self._truth: Int[np.ndarray, "images"] = np.array([position[c] for c in captions], int)
        by_image = len(set(captions)) < groups
        self._weights = (leave_out_images if by_image else leave_out)(self._truth, groups, seed)
        chosen = zlib.crc32("\n".join(self.captions).encode())
        self._about = (
            f"{reference.about}; {len(self.captions)} images of captions {chosen:08x}, "
            f"{len(self._weights)} groups{' of images' if by_image else ''}, seed {seed}"
        )
        self._frechet = FrechetReference(reference.statistics)

    def on_device(
        self, images: Float[Array, "batch height width 3"]
    ) -> tuple[Pixels, Features, OtherFeatures]:
        """The images in [-1, 1] as bytes, and the features of these that both scores need.

        It is one program, queued without waiting.

        **Raises** `ValueError` if the reference is of another network or size of image.
        """
        name = describe_features(self._extractor or self._vgg, images.shape)
        if name != self.reference.statistics.extractor:
            raise ValueError(
                f"The reference is of {self.reference.statistics.extractor!r}, received images for "
                f"{name!r}. Remove its file; it will be computed again."
            )
        return _features(self._vgg, self._extractor, images)

    def scores(
        self,
        match: Float[np.ndarray, "images features"],
        fid: Float[np.ndarray, "images other_features"],
    ) -> Scores:
        """The scores, computed on the host.

        Where features are not finite, as of a model that diverged, the distance is infinite and the
        match NaN.

        **Arguments:**

        - `match`, `fid`: the features of all images, as `on_device` gave them.
        """
        if not len(match) == len(fid) == len(self.captions):
            raise ValueError(
                f"Scores are of {len(self.captions)} images, received features of {len(match)} "
                f"and {len(fid)}."
            )
        value, spread = frechet_spread(fid, self._frechet, self._weights)
        share = (float("nan"),) * 3
        if np.isfinite(match).all():
            fitted = self.reference
            vectors = image_vectors(match, fitted.mean, fitted.deviation, fitted.weight)
            random = np.random.default_rng(self._seed)
            name = f"{self._vgg.name} R-precision"
            ranks = retrieval(name, vectors, self._truth, fitted.vectors, random)
            share = (ranks.rank1, *ranks.rank1_interval)
        return Scores(
            frechet_name(self.reference.statistics),
            value,
            tuple(spread.tolist()),
            *share,
            len(self.captions),
            self._about,
        )


@eqx.filter_jit
def _features(
    vgg: AbstractFeatureExtractor,
    extractor: AbstractFeatureExtractor | None,
    images: Float[Array, "batch height width 3"],
) -> tuple[Pixels, Features, OtherFeatures]:
    pixels = jnp.round((jnp.clip(images, -1.0, 1.0) + 1.0) * 127.5).astype(jnp.uint8)
    seen = to_unit(pixels)
    if extractor is None:
        maps = (*TAPS, -1)
        both = jax.vmap(lambda image: pooled(vgg, image, maps))(seen)
        match, fid = both[:, : -vgg.channels[-1]], both[:, -vgg.channels[-1] :]
    else:
        match = jax.vmap(lambda image: pooled(vgg, image, TAPS))(seen)
        fid = jax.vmap(lambda image: pooled(extractor, image))(seen)
    return pixels, match, fid
