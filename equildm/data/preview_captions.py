"""Captions for previews: half of them are trained on, the other half are held out."""

from .config import DataConfig
from .skips import Skips
from .source import AbstractSource
from .usable import spread_indices

_EMOJI = (
    *("red heart", "green apple", "grinning face", "cat face", "flag of japan", "automobile"),
    *("purple square", "woman firefighter medium skin tone"),
    # Not in the training set: held out, or no emoji at all.
    *("woman firefighter medium-dark skin tone", "man astronaut light skin tone", "thumbs up"),
    *("pink square", "purple apple", "red book", "dog with tears of joy", "blue strawberry"),
)
_LOOKS = 32
"""Samples that are looked at for each caption, at most: of classes there are few captions."""


def preview_captions(data: DataConfig, count: int = 16) -> tuple[str, ...]:
    """Up to `count` different captions, always the same ones for the same data.

    The first half are of training images, the second of held-out images, if any. Of emoji they are
    eight of each kind that were chosen by hand, some of the latter for images that do not exist.
    """
    if data.source == "emoji" and count == len(_EMOJI):
        return _EMOJI
    training, held_out = data.splits()
    known = _different(training, count - count // 2, ())
    return known + _different(held_out, count - len(known), known)


def _different(source: AbstractSource, count: int, others: tuple[str, ...]) -> tuple[str, ...]:
    """Up to `count` captions spread over a source, none of them among `others`."""
    skips, captions = Skips(source), dict.fromkeys(others)
    for index in spread_indices(len(source), _LOOKS * count):
        if len(captions) == len(others) + count:
            break
        caption = skips.attempt(index, source.caption)
        if caption is not None:
            captions.setdefault(caption)
    return tuple(captions)[len(others) :]
