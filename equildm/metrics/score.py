"""A score together with everything that makes it comparable with another."""

import dataclasses

from .rounding import with_error

STANDARD = "Inception-2015"
"""The name of the network of the first FID and IS, see `interop.load_inception`."""


def score_name(kind: str, extractor: str) -> str:
    """The name of a score.

    Plain "FID", "KID" and "IS" stand for one file of weights and TensorFlow 1's resize; "clean-FID"
    for the same weights after an antialiased resize (Parmar et al. 2022). Scores of another network
    are not comparable with these and carry its name: "VGG16-FID".

    **Arguments:**

    - `kind`: "FID", "KID", "IS", "precision", ...
    - `extractor`: the feature network, see `describe_features`.
    """
    name, _, resize = extractor.partition(", ")
    if name == STANDARD and kind in ("FID", "KID", "IS"):
        plain = {"tf1-bilinear 299": kind, "antialiased-bicubic 299": f"clean-{kind}"}
        if resize in plain:
            return plain[resize]
    return f"{name}-{kind}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A score and its circumstances. `str(score)` is a line that states them all.

    **Fields:**

    - `name`: from `score_name`.
    - `value`: the number.
    - `spread`, `spread_of`: a measure of its uncertainty and the name of that, for instance
        "standard error".
    - `extractor`: the feature network, see `describe_features`.
    - `count`: the number of images that were scored.
    - `reference`, `reference_count`: what they were compared with, and the number of that.
    - `seed`: of the random draws.
    - `settings`: the metric's own, such as the size of KID's subsets.
    """

    name: str
    value: float
    spread: float | None = None
    spread_of: str | None = None
    extractor: str
    count: int
    reference: str | None = None
    reference_count: int | None = None
    seed: int | None = None
    settings: dict[str, int | float | str] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The fields for JSON, without those that are empty."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v not in (None, {})}

    def __str__(self) -> str:
        value = f"{self.value:.5g}"
        if self.spread is not None:
            value = f"{with_error(self.value, self.spread, '+-')} ({self.spread_of})"
        against = f" to {self.reference_count} {self.reference}" if self.reference else ""
        seed = f", seed {self.seed}" if self.seed is not None else ""
        settings = "".join(f", {name} {value}" for name, value in self.settings.items())
        return (
            f"{self.name} {value} from {self.count} images{against}; "
            f"{self.extractor}{settings}{seed}"
        )
