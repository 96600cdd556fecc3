"""Of several captions the first: what is measured, and what runs of before trained on."""

from typing import final, Literal, TypeAlias

from .source import AbstractSource, digest
from .wrapped_source import AbstractWrappedSource

Captions: TypeAlias = Literal["all", "first"]
"""Which captions of an image a model is trained on, where it has several."""


def with_captions(source: AbstractSource, which: Captions) -> AbstractSource:
    """The source with all of its captions, or with the first of each sample."""
    return source if which == "all" else FirstCaptions(source)


@final
class FirstCaptions(AbstractWrappedSource):
    """The samples of `source`, each with its first caption alone."""

    @property
    def fingerprint(self) -> str:
        return digest(["first captions", self._source.fingerprint])

    def captions(self, index: int) -> tuple[str, ...]:
        return (self.caption(index),)
