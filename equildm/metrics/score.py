"""A number together with everything that makes it comparable with another."""

import dataclasses
from typing import Any

STANDARD = "Inception-2015"
"""The name that `interop.load_inception` gives to the network of the first FID and IS."""


def score_name(kind: str, extractor: str) -> str:
    """What a score is called.

    Plain "FID", "KID" and "IS" stand for one file of weights and TensorFlow 1's resize; "clean-FID"
    for the same weights after an antialiased one (Parmar et al. 2022). Numbers of another network
    are other numbers: "VGG16-FID".

    **Arguments:**

    - `kind`: "FID", "KID", "IS", "precision", ...
    - `extractor`: as `features.described` gives it.
    """
    name, _, resize = extractor.partition(", ")
    if name == STANDARD and kind in ("FID", "KID", "IS"):
        plain = {"tf1-bilinear 299": kind, "antialiased-bicubic 299": f"clean-{kind}"}
        if resize in plain:
            return plain[resize]
    return f"{name}-{kind}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """One result.

    **Fields:**

    - `name`: from `score_name`.
    - `value`: the number.
    - `spread`, `spread_of`: how uncertain it is and in which sense, "standard error" or other.
    - `extractor`: the network, and the resizing before it where there is one.
    - `count`: images that were scored.
    - `reference`, `reference_count`: what they were compared with, and how many of that.
    - `seed`: of whatever was drawn at random.
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
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what does not apply is left out."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v not in (None, {})}

    def __str__(self) -> str:
        spread = f" +- {self.spread:.2g} ({self.spread_of})" if self.spread is not None else ""
        against = f" to {self.reference_count} {self.reference}" if self.reference else ""
        seed = f", seed {self.seed}" if self.seed is not None else ""
        settings = "".join(f", {name} {value}" for name, value in self.settings.items())
        return (
            f"{self.name} {self.value:.5g}{spread} from {self.count} images{against}; "
            f"{self.extractor}{settings}{seed}"
        )
