"""Several scores of images beside real ones, with the networks that they take."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

from ..features import AbstractFeatureExtractor
from ..text import CLIP
from .image_pairs import compare_pairs
from .image_sets import compare_sets, FIDReference
from .score import Score

Images = Shaped[np.ndarray, "images height width 3"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Scores images of some captions beside the real images of these. `ScoreConfig.open` makes one.

    **Fields:**

    - `metrics`: their names.
    - `real`: the real images, and `real_name`: what they are, for the scores.
    - `extractor`: the feature network of the scores of image sets.
    - `fid_reference`: what FID is a distance to instead of the real images.
    - `clip`, `clip_name`: the network of the CLIP score, and what it is called.
    """

    metrics: tuple[str, ...]
    real: Images
    real_name: str
    extractor: AbstractFeatureExtractor
    fid_reference: FIDReference | None = None
    clip: CLIP | None = None
    clip_name: str = "CLIP"

    def __call__(self, images: Images, captions: Sequence[str], *, seed: int = 0) -> list[Score]:
        """The scores.

        **Arguments:**

        - `images`: uint8 or in [-1, 1], one for each of the real images.
        - `captions`: one for each image.
        - `seed`: of the images, and of the random draws of the metrics.
        """
        sets = compare_sets(
            self.metrics,
            images,
            self.real,
            self.extractor,
            real_name=self.real_name,
            fid_reference=self.fid_reference,
            seed=seed,
        )
        pairs = compare_pairs(
            self.metrics,
            images,
            self.real,
            captions,
            clip=self.clip,
            clip_name=self.clip_name,
            seed=seed,
        )
        return sets + pairs
