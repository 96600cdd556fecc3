"""The scorer of a study: one process computes its reference, and all use it."""

import hashlib

import numpy as np

from ..data import (
    AbstractSource,
    Crop,
    InMemory,
    named_split,
    open_source,
    Skips,
    usable_indices,
)
from ..interop import load_minilm, load_vgg16
from ..metrics import describe_features
from ..runtime import Locks, log
from .config import SampleSetConfig
from .folder import StudyFolder
from .queue import share_work
from .reference import fit_reference, Reference
from .runs import StudyRun
from .scoring import Scorer


def shared_scorer(
    folder: StudyFolder, run: StudyRun, samples: SampleSetConfig, locks: Locks
) -> Scorer:
    """The scorer of a study's captions. Its reference is computed once, by one of the processes.

    **Arguments:**

    - `folder`: where the reference is saved.
    - `run`: any run of the study, for its data.
    - `samples`: which captions, and how many real images.
    - `locks`: of this process, entered.

    **Raises** `ValueError` if the split is empty or nothing in it can be used.
    """
    model, data = run.model.model, run.data
    source = open_source(data.source)
    images = InMemory(source)  # each is read before it is used
    training, held_out = data.splits(images)
    asked = named_split(samples.split, training, held_out)
    # Inception-v3 is for the distance alone; another network takes VGG16's place in both scores.
    own = samples.extractor.load()
    vgg, extractor = (own, None) if samples.extractor.inception is None else (load_vgg16(), own)
    network = (extractor or vgg).description

    def about(number: int) -> str:
        return f"{number} real images of {data.source}, {model.image_size} pixels, {network}"

    number = min(samples.real, len(source))
    seen = describe_features(extractor or vgg, (model.image_size, model.image_size, 3))
    parts = (source.fingerprint, data.held_out, model.max_tokens, about(number), seen)
    # By caption as ever: a study that was begun before there was a choice keeps its reference.
    key = repr(parts if data.split_unit() == "caption" else (*parts, "image"))
    path = folder.path / f"reference-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"

    def compute(name: str) -> None:
        crop, skips = Crop(model.image_size), Skips(held_out)
        real = _shuffled(images, samples.real, seed=0)
        fitted = sorted(_shuffled(training, samples.real, seed=1))
        fit_reference(
            about(len(real)),
            (crop(images.image(i)) for i in sorted(real)),
            (crop(training.image(i)) for i in fitted),
            [training.caption(i) for i in fitted],
            [text for i in range(len(held_out)) if (text := skips.attempt(i, held_out.caption))],
            vgg=vgg,
            text_encoder=load_minilm(max_tokens=model.max_tokens),
            extractor=extractor,
        ).save(path)

    if not path.exists():
        log("Features of the real images, once for this study.")
    share_work([path.name], locks=locks, is_done=lambda name: path.exists(), begin=compute)
    chosen = _shuffled(asked, samples.count, seed=0)
    captions = [asked.caption(chosen[i % len(chosen)]) for i in range(samples.count)]
    reference = Reference.load(path)
    return Scorer(reference, vgg, captions, extractor=extractor, groups=samples.groups, seed=0)


def _shuffled(source: AbstractSource, count: int, seed: int) -> list[int]:
    """So many usable samples, drawn at random, or all."""
    return usable_indices(source, np.random.default_rng(seed).permutation(len(source)), count)
