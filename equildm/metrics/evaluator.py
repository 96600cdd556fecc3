"""Scores of a model's images beside the data that it was trained on."""

import functools
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float, Shaped, UInt8

from ..data import (
    centre_crops,
    DataConfig,
    InMemory,
    named_split,
    open_source,
    SplitName,
    usable_indices,
)
from ..features import pool_features, VGG16
from ..interop import load_minilm, load_vgg16
from .caption_match import CaptionMatcher, rank_captions
from .frechet import frechet_distance
from .retrieval import CaptionMatch
from .saved_matcher import fit_once
from .statistics import describe_features, FeatureStatistics

FITTED = 10_000
"""Images, at most, that the matcher is fitted on: of more it takes these at random."""
Images = Shaped[np.ndarray, "images height width 3"]


class Evaluator:
    """Scores images of captions of a data set.

        evaluator = Evaluator(DataConfig.of_run(run), model.config.image_size)
        images = to_uint8(text_to_image(evaluator.captions))
        print(evaluator.caption_match(images), evaluator.frechet_distance(images))

    The captions are drawn from one split of the data. The matcher of the caption match is fitted on
    the training split, at most `FITTED` images of it, when it is first needed; the fit is kept in
    the user's cache folder. Samples without a caption or a readable image are skipped.

    **Fields:**

    - `captions`: what to make images of.
    - `real`: the real image of each caption.
    """

    captions: list[str]
    real: UInt8[np.ndarray, "captions size size 3"]

    def __init__(
        self,
        data: DataConfig,
        image_size: int,
        *,
        split_name: SplitName = "held-out",
        count: int = 256,
        seed: int = 0,
        max_tokens: int = 16,
    ):
        """**Arguments:**

        - `data`: the data set and its split. `DataConfig.of_run(run)` is that of a run.
        - `image_size`: side of the model's images in pixels.
        - `split_name`: which captions.
        - `count`: how many of them, at most.
        - `seed`: draws the captions, and those that a caption is told from in the caption match.
        - `max_tokens`: tokens that a caption is padded or cut to, for the caption match.

        **Raises** `ValueError` if the split is empty or nothing in it can be used.
        """
        # A source in memory decodes each image once, although it is read twice.
        self._training, held_out = data.splits(InMemory(open_source(data.source)))
        source = named_split(split_name, self._training, held_out)
        order = np.random.default_rng(seed).permutation(len(source))
        indices = usable_indices(source, order, count)
        self.captions = [source.caption(i) for i in indices]
        self.real = centre_crops(source, indices, image_size)
        self._image_size, self._max_tokens = image_size, max_tokens
        self._seed = seed

    def caption_match(self, images: Images, captions: Sequence[str] | None = None) -> CaptionMatch:
        """How often an image's own caption ranks first among itself and 99 others.

        **Arguments:**

        - `images`: uint8 or in [-1, 1], of the size of `real`.
        - `captions`: one for each image, by default `self.captions`.
        """
        vectors = self._matcher[0].image_vectors(images)
        return self._ranks(vectors, self.captions if captions is None else captions)

    def caption_matches(self, images: Images) -> dict[str, CaptionMatch]:
        """The caption match of `"generated"` images, and two to compare it with: that of the
        `"real"` images, and of the generated ones with `"shuffled"` captions, which is chance."""
        shuffled = np.random.default_rng(self._seed + 1).permutation(self.captions)
        generated, real = map(self._matcher[0].image_vectors, (images, self.real))
        return {
            "generated": self._ranks(generated, self.captions),
            "real": self._ranks(real, self.captions),
            "shuffled": self._ranks(generated, shuffled.tolist()),
        }

    def frechet_distance(self, images: Images) -> float:
        """VGG16-FID of the images to the real ones of the captions."""
        return frechet_distance(self._statistics(images), self._real_statistics)

    @functools.cached_property
    def _vgg(self) -> VGG16:
        return load_vgg16()

    @functools.cached_property
    def _matcher(self) -> tuple[CaptionMatcher, list[str]]:
        """Fitted on the training split or `FITTED` images of it, with the captions of these."""
        source = self._training
        order = np.arange(len(source))
        if len(source) > FITTED:
            order = np.random.default_rng(0).permutation(len(source))
        indices = usable_indices(source, order, FITTED)
        captions = [source.caption(i) for i in indices]
        images = centre_crops(source, indices, self._image_size)
        text_encoder = load_minilm(max_tokens=self._max_tokens)
        return fit_once(images, captions, self._vgg, text_encoder), captions

    def _ranks(
        self, vectors: Float[np.ndarray, "images width"], captions: Sequence[str]
    ) -> CaptionMatch:
        matcher, pool = self._matcher
        return rank_captions(matcher, vectors, captions, pool, jax.random.key(self._seed))

    @functools.cached_property
    def _real_statistics(self) -> FeatureStatistics:
        return self._statistics(self.real)

    def _statistics(self, images: Images) -> FeatureStatistics:
        return FeatureStatistics.of(
            describe_features(self._vgg, images.shape), pool_features(self._vgg, images)
        )
