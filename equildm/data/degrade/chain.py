"""Compositions of degradations."""

import dataclasses

import numpy as np

from .degradation import AbstractDegradation, AbstractOperation, Canvas, check_probability


@dataclasses.dataclass(frozen=True)
class Nothing(AbstractOperation, AbstractDegradation):
    """Leaves the image as it is."""

    def draw(self, generator: np.random.Generator) -> "Nothing":
        del generator
        return self

    def __call__(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        del generator
        return canvas


@dataclasses.dataclass(frozen=True)
class Always(AbstractDegradation):
    """One fixed operation."""

    operation: AbstractOperation

    def draw(self, generator: np.random.Generator) -> AbstractOperation:
        del generator
        return self.operation


@dataclasses.dataclass(frozen=True)
class Sequence(AbstractOperation):
    """Operations, one after the other."""

    operations: tuple[AbstractOperation, ...]

    def __call__(self, canvas: Canvas, generator: np.random.Generator) -> Canvas:
        for operation in self.operations:
            canvas = operation(canvas, generator)
        return canvas


@dataclasses.dataclass(frozen=True)
class Chain(AbstractDegradation):
    """A draw of each, one after the other."""

    parts: tuple[AbstractDegradation, ...]

    def draw(self, generator: np.random.Generator) -> Sequence:
        return Sequence(tuple(part.draw(generator) for part in self.parts))


@dataclasses.dataclass(frozen=True)
class Maybe(AbstractDegradation):
    """A draw of `part` with a probability, else `Nothing`."""

    probability: float
    part: AbstractDegradation

    def __post_init__(self) -> None:
        check_probability("The share of draws that use a part", self.probability)

    def draw(self, generator: np.random.Generator) -> AbstractOperation:
        return self.part.draw(generator) if generator.random() < self.probability else Nothing()


@dataclasses.dataclass(frozen=True)
class OneOf(AbstractDegradation):
    """A draw of one of the parts, chosen by probabilities."""

    parts: tuple[tuple[float, AbstractDegradation], ...]

    def __post_init__(self) -> None:
        total = sum(probability for probability, _ in self.parts)
        if abs(total - 1) > 1e-6 or any(probability < 0 for probability, _ in self.parts):
            raise ValueError(
                "The probabilities of a choice are at least 0 and sum to 1; got "
                f"{[probability for probability, _ in self.parts]}."
            )

    def draw(self, generator: np.random.Generator) -> AbstractOperation:
        place = pick(generator, [probability for probability, _ in self.parts])
        return self.parts[place][1].draw(generator)


@dataclasses.dataclass(frozen=True)
class AnyOrder(AbstractDegradation):
    """A draw of each, in a random order."""

    parts: tuple[AbstractDegradation, ...]

    def draw(self, generator: np.random.Generator) -> Sequence:
        order = generator.permutation(len(self.parts))
        return Sequence(tuple(self.parts[place].draw(generator) for place in order))


def pick(generator: np.random.Generator, probabilities: list[float]) -> int:
    """An index of the list, chosen by its probability with one number of the generator."""
    steps = np.cumsum(probabilities)
    return min(int(np.searchsorted(steps, generator.random(), side="right")), len(steps) - 1)
