"""A subject to learn: one blue woman in several jobs."""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import UInt8

from ..source import AbstractSource, digest
from .emoji import EmojiSource

JOBS = ("firefighter", "pilot", "cook", "farmer", "student", "judge")
UNSEEN = ("mechanic", "scientist", "teacher", "factory worker", "singer", "office worker")
"""Jobs that are not in the source, though the image of each is known."""

_MEDIUM, _DARK = np.array([213, 171, 136.0]), np.array([124, 83, 62.0])  # skin in Twemoji
_BLUE = np.array([70, 130, 230.0])


@final
class TintedEmoji(AbstractSource):
    """Twemoji's images of a woman with medium skin tone, her skin blue and her hair bluish.

    The share of skin in a pixel follows from the same image in another skin tone: it is the
    difference of the two images, projected on the difference of the two tones. Captions do not
    mention the colour: "woman pilot". The art is CC-BY 4.0, see `EmojiSource`.

    **Arguments:**

    - `jobs`: one image for each.
    """

    def __init__(self, jobs: Sequence[str] = JOBS):
        self._emoji = EmojiSource()
        places = {self._emoji.caption(i): i for i in range(len(self._emoji))}
        self._jobs = tuple(jobs)
        names = [[f"woman {job} {tone} skin tone" for tone in ("medium", "dark")] for job in jobs]
        missing = [name for pair in names for name in pair if name not in places]
        if missing or not names:
            raise ValueError(
                f"Jobs are those of the emoji, at least one; got {missing or 'none'}. Use for "
                f"instance {JOBS}."
            )
        self._places = [tuple(places[name] for name in pair) for pair in names]

    @property
    def fingerprint(self) -> str:
        return digest(["tinted", self._emoji.fingerprint, *self._jobs])

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        return f"blue {self._jobs[index]}"

    def caption(self, index: int) -> str:
        return f"woman {self._jobs[index]}"

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        from ...images import to_uint8

        medium, dark = (self._emoji.image(i).astype(np.float64) for i in self._places[index])
        along = _MEDIUM - _DARK
        skin = np.clip((medium - dark) @ along / (along @ along), 0, 1)[..., None]
        return to_uint8((medium + skin * (_BLUE - _MEDIUM)) / 127.5 - 1)
