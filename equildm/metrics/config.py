"""Which scores of images are taken, and by which feature network, as options."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from ..runtime.options import Flat
from .names import MetricName

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from ..features import AbstractFeatureExtractor
    from .comparison import Comparison
    from .image_sets import FIDReference


FeaturesName = Literal["vgg16", "alexnet"]
ResizeName = Literal["tf1", "antialiased"]


@dataclasses.dataclass(frozen=True)
class ExtractorConfig:
    """The feature network of FID, KID, precision and recall.

    extractor = ExtractorConfig().load()                                       # VGG16
    extractor = ExtractorConfig(features="alexnet").load()
    extractor = ExtractorConfig(inception=Path("inception.safetensors")).load()
    """

    inception: Path | None = None
    """Safetensors of Inception-v3, instead of VGG16 and SqueezeNet."""
    resize: ResizeName = "tf1"
    """How images are resized to 299 pixels for Inception-v3: as for FID, or as for clean-FID."""
    classifier: Path | None = None
    """Safetensors of a classifier trained by benchmarks/train_classifier.py, instead of VGG16."""
    features: FeaturesName = "vgg16"
    """The network where no file is named. AlexNet takes a small part of VGG16's time."""

    def __post_init__(self) -> None:
        named: dict[str, object] = {
            flag: path for flag, path in self.files.items() if path is not None
        }
        if self.features != "vgg16":
            named["features"] = self.features
        if len(named) > 1:
            received = " and ".join(f"--{flag} {value}" for flag, value in named.items())
            raise ValueError(
                f"Features are of one network, received {received}. Leave all but one of them out."
            )
        if self.resize != "tf1" and self.inception is None:
            raise ValueError(
                "Images are resized for Inception-v3 only: other networks take them as they are. "
                f"Received --resize {self.resize} without --inception. Give --inception PATH."
            )

    @property
    def files(self) -> dict[str, Path | None]:
        """The files of weights that may be named, by option."""
        return {"inception": self.inception, "classifier": self.classifier}

    def load(self) -> "AbstractFeatureExtractor":
        """The network with its weights, and the resize before it.

        **Raises** `ValueError` if the file of weights is of another network.
        """
        from ..features import Resized
        from ..interop import load_alexnet, load_classifier, load_inception, load_vgg16
        from .resizes import RESIZES

        if self.classifier is not None:
            return load_classifier(self.classifier)
        if self.inception is not None:
            return Resized(load_inception(self.inception), RESIZES[self.resize]())
        return load_alexnet() if self.features == "alexnet" else load_vgg16()


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """The metrics, and the networks and references that they take."""

    metrics: tuple[MetricName, ...] = ("caption-match", "fid")
    """What to measure."""
    extractor: Flat[ExtractorConfig] = ExtractorConfig()
    """The feature network of the scores of image sets."""
    clip: Path | None = None
    """Folder of a CLIP as transformers saves it, for clip-score."""
    reference: Path | None = None
    """An .npz with mu and sigma of the same feature network: FID is a distance to that instead of
    the real images."""
    reference_count: int | None = None
    """The number of images of the reference, if the file does not record it."""
    save_reference: Path | None = None
    """Where to write such a file of the real images."""

    def __post_init__(self) -> None:
        if "clip-score" in self.metrics and self.clip is None:
            raise ValueError(
                "The metric clip-score takes the weights of a CLIP, received none. "
                "Give --clip PATH."
            )
        if self.reference is not None and "fid" not in self.metrics:
            raise ValueError(
                f"A reference is for FID, received --reference {self.reference} without it. "
                "Add fid to --metrics."
            )
        if self.reference_count is not None and self.reference is None:
            raise ValueError(
                "The count of a reference goes with the reference, received "
                f"--reference-count {self.reference_count} alone. Give --reference PATH."
            )
        files = {"clip": self.clip, "reference": self.reference} | self.extractor.files
        for flag, path in files.items():
            if path is not None and not path.exists():
                raise ValueError(
                    f"--{flag} takes a path that exists, received {path}. Check the path."
                )

    def open(
        self, real: UInt8[np.ndarray, "images height width 3"], real_name: str = "real images"
    ) -> "Comparison":
        """Loads the networks, writes the statistics of the real images and reads the reference.

        Whatever cannot work is refused here, before images are made.

        **Arguments:**

        - `real`: the real images.
        - `real_name`: what they are, for the scores.

        **Raises** `ValueError` if the images are too few for one of the metrics, or the reference
        is of another network or does not record its count.
        """
        from ..interop import load_clip
        from .comparison import Comparison
        from .image_sets import check_enough
        from .statistics import collect_statistics, describe_features

        check_enough(self.metrics, len(real))
        extractor = self.extractor.load()
        describe_features(extractor, real.shape)  # refuses images that are too small
        if self.save_reference is not None:
            collect_statistics(extractor, real).save(self.save_reference)
        reference = self._read_reference(extractor, real.shape)
        comparison = Comparison(self.metrics, real, real_name, extractor, reference)
        if "clip-score" not in self.metrics or self.clip is None:
            return comparison
        clip_name = f"CLIP {self.clip.name}"
        return dataclasses.replace(comparison, clip=load_clip(self.clip), clip_name=clip_name)

    def _read_reference(
        self, extractor: "AbstractFeatureExtractor", shape: tuple[int, ...]
    ) -> "FIDReference | None":
        from .image_sets import FIDReference
        from .statistics import describe_features, FeatureStatistics

        if self.reference is None:
            return None
        name = describe_features(extractor, shape)
        statistics = FeatureStatistics.load(
            self.reference, extractor=name, count=self.reference_count
        )
        if len(statistics.mean) != extractor.channels[-1]:
            raise ValueError(
                f"{extractor.description} has {extractor.channels[-1]} features, received "
                f"{len(statistics.mean)} in {self.reference}. Give the network of that file."
            )
        return FIDReference(f"images of {self.reference.name}", statistics)


def settings_name(options: Mapping[str, object], usual: Mapping[str, object]) -> str:
    """What to append to the name of a file of scores: other options than the usual have their own.

    **Arguments:**

    - `options`, `usual`: in the types of JSON.

    **Returns:** "" for the usual options, else an underscore and 8 digits that depend on what is
    different.
    """
    different = {name: options[name] for name in options if options[name] != usual.get(name)}
    if not different:
        return ""
    digest = hashlib.sha256(json.dumps(different, sort_keys=True).encode())
    return f"_{digest.hexdigest()[:8]}"
