"""Whether images match their captions, without a pretrained image-text network.

A linear map from an image network's features to a sentence encoder's space is fitted on captioned
training images. An image then ranks captions by the cosine to its mapped features, and the score is
how often its own caption comes first among 99 others: R-precision (Xu et al. 2018, AttnGAN).
"""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import numpy as np
from jaxtyping import Float

from .._types import Key
from ..features import AbstractFeatureExtractor, pool_features
from ..text import AbstractTextEncoder, embed, sentence_embedding
from .retrieval import CaptionMatch, retrieval, unit_rows

TAPS = (2, 3, 4)
RIDGE = 0.3


@dataclasses.dataclass(frozen=True)
class CaptionMatcher:
    """Maps images and captions into one space, see `fit_caption_matcher`.

    **Fields:**

    - `vgg`, `text`: the frozen networks.
    - `mean`, `deviation`: of the training images' features.
    - `weight`: from standardised features to centred sentence embeddings.
    - `caption_mean`: of the training captions' sentence embeddings.
    - `sentences`: the embeddings of the captions so far. Each caption is embedded once.
    """

    vgg: AbstractFeatureExtractor
    text: AbstractTextEncoder
    mean: Float[np.ndarray, "features"]
    deviation: Float[np.ndarray, "features"]
    weight: Float[np.ndarray, "features width"]
    caption_mean: Float[np.ndarray, "width"]
    sentences: dict[str, Float[np.ndarray, "width"]] = dataclasses.field(
        default_factory=dict, repr=False
    )

    def image_vectors(self, images: Iterable[np.ndarray]) -> Float[np.ndarray, "images width"]:
        """Unit vectors of images, uint8 or in [-1, 1]."""
        pooled = pool_features(self.vgg, images, taps=TAPS)
        return image_vectors(pooled, self.mean, self.deviation, self.weight)

    def caption_vectors(self, captions: Sequence[str]) -> Float[np.ndarray, "captions width"]:
        """Unit vectors of captions."""
        unknown = [text for text in dict.fromkeys(captions) if text not in self.sentences]
        self.sentences.update(_sentences(self.text, unknown))
        return unit_rows(np.stack([self.sentences[x] for x in captions]) - self.caption_mean)


def image_vectors(
    pooled: Float[np.ndarray, "images features"],
    mean: Float[np.ndarray, "features"],
    deviation: Float[np.ndarray, "features"],
    weight: Float[np.ndarray, "features width"],
) -> Float[np.ndarray, "images width"]:
    """Unit vectors of images from their pooled features.

    **Arguments:**

    - `pooled`: the means of the maps of `TAPS`, see `pool_features`.
    - `mean`, `deviation`, `weight`: as in `CaptionMatcher`.
    """
    return unit_rows((_roots(pooled) - mean) / deviation @ weight)


def fit_caption_matcher(
    images: Iterable[np.ndarray],
    captions: Sequence[str],
    vgg: AbstractFeatureExtractor,
    text: AbstractTextEncoder,
) -> CaptionMatcher:
    """Fits the map in closed form: `W = (X^T X / n + 0.3 I)^-1 X^T Y / n`.

    `X` holds the square roots of the pooled features of the last three taps, standardised; `Y` the
    sentence embeddings, centred. The square root, the taps and the ridge were chosen on emoji of
    held-out subjects, for the best score of blurred and noisy images together with clean ones:
    shallow taps and a smaller ridge do better on clean images only.

    The fit is deterministic. Use the training split alone, so that the score of held-out images
    shows what it is worth.

    **Arguments:**

    - `images`: of one size, uint8 or in [-1, 1]; read once, one batch at a time.
    - `captions`: one for each image.
    - `vgg`: a feature network with at least five taps.
    - `text`: a sentence encoder.
    """
    features = _roots(pool_features(vgg, images, taps=TAPS))
    if len(features) != len(captions) or len(captions) < 2:
        raise ValueError(
            "fit_caption_matcher takes one caption for each image and at least two of them, "
            f"received {len(features)} images and {len(captions)} captions."
        )
    known = _sentences(text, dict.fromkeys(captions))  # sixty thousand images may have ten captions
    sentences = np.stack([known[caption] for caption in captions])
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    caption_mean = sentences.mean(axis=0)
    x, y = (features - mean) / deviation, sentences - caption_mean
    gram = x.T @ x / len(x) + RIDGE * np.eye(x.shape[1])
    weight = np.linalg.solve(gram, x.T @ y / len(x))
    return CaptionMatcher(vgg, text, mean, deviation, weight, caption_mean, known)


def caption_match(
    matcher: CaptionMatcher,
    images: Iterable[np.ndarray],
    captions: Sequence[str],
    pool: Sequence[str],
    key: Key,
) -> CaptionMatch:
    """R-precision: how often an image's own caption ranks first among itself and 99 others.

    **Arguments:**

    - `matcher`: fitted on other images.
    - `images`: of the size that the matcher was fitted on, uint8 or in [-1, 1].
    - `captions`: one for each image.
    - `pool`: more captions to draw the 99 others from, beside `captions`; may be empty.
    - `key`: of the draws; the same key gives the same score.
    """
    return rank_captions(matcher, matcher.image_vectors(images), captions, pool, key)


def rank_captions(
    matcher: CaptionMatcher,
    vectors: Float[np.ndarray, "images width"],
    captions: Sequence[str],
    pool: Sequence[str],
    key: Key,
) -> CaptionMatch:
    """`caption_match` of images whose vectors are known.

    **Arguments:**

    - `vectors`: what `matcher.image_vectors` gives.
    - `matcher`, `captions`, `pool`, `key`: those of `caption_match`.
    """
    distinct = list(dict.fromkeys([*captions, *pool]))
    position = {caption: i for i, caption in enumerate(distinct)}
    truth = np.array([position[caption] for caption in captions], int)
    if len(vectors) != len(captions):
        raise ValueError(
            "caption_match takes one caption for each image, received "
            f"{len(vectors)} images and {len(captions)} captions."
        )
    name = f"{matcher.vgg.name}-{type(matcher.text).__name__} R-precision"
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
    return retrieval(name, vectors, truth, matcher.caption_vectors(distinct), random)


def _roots(pooled: Float[np.ndarray, "images features"]) -> Float[np.ndarray, "images features"]:
    return np.sqrt(pooled.astype(np.float64))


def _sentences(
    text: AbstractTextEncoder, captions: Iterable[str]
) -> dict[str, Float[np.ndarray, "width"]]:
    """The sentence embedding of each of these distinct captions."""
    distinct = list(captions)
    if not distinct:
        return {}
    vectors = np.asarray(sentence_embedding(embed(text, distinct)), np.float64)
    return dict(zip(distinct, vectors, strict=True))
