"""Scores of images one by one: beside their captions, and beside the real images of those."""

from collections.abc import Collection, Sequence

import equinox as eqx
import numpy as np
from jaxtyping import Float, Shaped

from ..images import to_unit
from ..interop import load_lpips
from ..text import CLIP
from .clip_score import clip_score
from .score import Score

Images = Shaped[np.ndarray, "images height width 3"]


def compare_pairs(
    metrics: Collection[str],
    images: Images,
    real: Images,
    captions: Sequence[str],
    *,
    clip: CLIP | None = None,
    clip_name: str = "CLIP",
    seed: int | None = None,
) -> list[Score]:
    """Means over images, each with its standard error: CLIP score and LPIPS.

    **Arguments:**

    - `metrics`: names of `PairMetricName`; others are left out.
    - `images`: the images that are scored, uint8 or in [-1, 1].
    - `real`: for each image the real one of its caption.
    - `captions`: for each image its caption.
    - `clip`: the network of the CLIP score, see `equildm.interop.load_clip`.
    - `clip_name`: what it is called, for the score.
    - `seed`: of the images' noise, for the record: nothing is drawn here.

    **Raises** `ValueError` for the CLIP score without a CLIP.
    """
    scores: list[Score] = []
    if "clip-score" in metrics:
        if clip is None:
            raise ValueError(
                "The CLIP score takes a CLIP, received clip=None. Load one with "
                "equildm.interop.load_clip(folder)."
            )
        values = clip_score(clip, images, captions)
        scores.append(_mean("CLIP score", values, clip_name, "captions", seed))
    if "lpips" in metrics:
        lpips = eqx.filter_jit(load_lpips("alex"))
        pairs = zip(to_unit(images), to_unit(real), strict=True)
        values = np.array([float(lpips(a, b)) for a, b in pairs])
        scores.append(_mean("LPIPS", values, "AlexNet", "real images of the same captions", seed))
    return scores


def _mean(
    name: str,
    values: Float[np.ndarray, "images"],
    extractor: str,
    reference: str,
    seed: int | None,
) -> Score:
    return Score(
        name=name,
        value=float(values.mean()),
        spread=float(values.std() / len(values) ** 0.5),
        spread_of="standard error",
        extractor=extractor,
        count=len(values),
        reference=reference,
        reference_count=len(values),
        seed=seed,
    )
