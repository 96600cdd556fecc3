"""A subject to be learned from a few images, as options."""

import dataclasses
from typing import Annotated, NamedTuple, TYPE_CHECKING

import numpy as np
import tyro
from jaxtyping import UInt8

from .builtin.tinted import UNSEEN
from .source import UnusableSample
from .transforms import Crop

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from ..runtime import Run


PLACE = "{}"
"""Where the rare token goes in a prompt."""


class Subject(NamedTuple):
    """Images of one subject, with the caption of each.

    **Fields:**

    - `images`: 8-bit pixels.
    - `captions`: one for each image; `{}` may stand for the rare token.
    """

    images: UInt8[np.ndarray, "count size size 3"]
    captions: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class SubjectConfig:
    """Images of one subject, and the rare token that is trained to mean it.

    subject = SubjectConfig(source="my_dog/", class_prompt="photo of a {} dog").read(size=512)
    """

    source: Annotated[str, tyro.conf.arg(name="data")] = "tinted"
    """tinted (a blue woman made of emoji), or a folder with images of the subject."""
    token: str = "sks"
    """The rare word that is to mean the subject."""
    class_prompt: str | None = None
    """Caption of every image, where the images have no captions of their own; {} is where the rare
    word goes, in front by default."""

    def __post_init__(self) -> None:
        if not self.token.strip() or PLACE in self.token:
            raise ValueError(f"The rare word is a word, received --token {self.token!r}. Use sks.")
        if self.class_prompt is not None and not without_token(self.class_prompt):
            raise ValueError(
                f"The prompt of a class names the class, received --class-prompt "
                f"{self.class_prompt!r}. Write for instance 'photo of a {{}} dog'."
            )

    @classmethod
    def of_run(cls, run: "Run") -> "SubjectConfig":
        """The `subject` section of a run's config.json.

        **Raises** `ValueError` if the run has none.
        """
        from .open import section_of_run

        config = section_of_run(run, "subject", cls)
        if config is None:
            raise ValueError(
                f"A subject is learned by a run of dreambooth.py, received {run.path} of "
                f"{run.recipe}. Give a run of dreambooth.py."
            )
        return config

    def read(self, size: int) -> Subject:
        """The images, cropped in the middle to `size` pixels a side, and their captions.

        An image that cannot be read, or that has no caption, is left out and named in the log.

        **Raises** `ValueError` if none is left.
        """
        from ..runtime import log
        from .open import open_source

        source, crop = open_source(self.source), Crop(size)
        images, captions = [], []
        for i in range(len(source)):
            try:
                caption = source.caption(i) if self.class_prompt is None else self.class_prompt
                images.append(crop(source.image(i)))
                captions.append(caption)
            except UnusableSample as error:
                log(f"Skipped {error}.")
        if not images:
            raise ValueError(
                f"A subject has at least one image with a caption, received --data {self.source} "
                "with none. Add --class-prompt 'photo of a {} dog' where images have no captions."
            )
        return Subject(np.stack(images), tuple(captions))

    def unseen(self, size: int) -> Subject | None:
        """The subject in captions that it has no training image of; known for "tinted" alone."""
        from .builtin.tinted import TintedEmoji

        if self.source != "tinted":
            return None
        source, crop = TintedEmoji(UNSEEN), Crop(size)
        images = np.stack([crop(source.image(i)) for i in range(len(source))])
        return Subject(images, tuple(source.caption(i) for i in range(len(source))))


def with_token(prompt: str, token: str) -> str:
    """The prompt with the rare token where `{}` stands, or else in front."""
    return _spaced((prompt if PLACE in prompt else f"{PLACE} {prompt}").replace(PLACE, token))


def without_token(prompt: str) -> str:
    """The prompt without `{}`: the class instead of the subject."""
    return _spaced(prompt.replace(PLACE, ""))


def _spaced(text: str) -> str:
    return " ".join(text.split())
