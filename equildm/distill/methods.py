"""The distillation methods: what the paper of each trains with, and which options it has."""

import itertools
import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ..training import EMAName
from .names import GuidanceName, MethodName

_ALL: tuple[GuidanceName, ...] = ("none", "fixed", "embedded", "shared")


class DistillMethod(NamedTuple):
    """What a method's paper trains with, how its students are sampled, and which options it has."""

    learning_rate: float
    """Peak learning rate."""
    weight_decay: float
    """Weight decay; RAdam has none."""
    optimizer: Literal["adamw", "radam"]
    """The optimiser."""
    ema: EMAName
    """Averages of the weights. The first is the target of codi, lcm and cm."""
    guidance: GuidanceName
    """The guidance of teacher and student."""
    boundary: Literal["time", "level"] | None
    """The boundary of the student, where it is a consistency function."""
    sampler: str
    """The sampler that suits the student, a name in `SOLVERS`."""
    guidances: tuple[GuidanceName, ...] = _ALL
    """The kinds of guidance that the method can train with."""
    has_solver: bool = True
    """Whether the solver of the teacher's step can be chosen."""
    staged: bool = False
    """Whether it trains one student after the other, each with half the sampling steps."""

    @property
    def is_consistency(self) -> bool:
        """Whether the objective is `ConsistencyDistillation`."""
        return self.boundary is not None


DISTILL_METHODS: Mapping[MethodName, DistillMethod] = {
    "codi": DistillMethod(
        1e-5, 0.01, "adamw", "decay-0.999", "none", "time", "consistency-deterministic"
    ),
    "lcm": DistillMethod(1e-6, 0.0, "adamw", "decay-0.95", "embedded", "time", "consistency"),
    "cm": DistillMethod(8e-6, 0.0, "radam", "decay-0.95", "none", "level", "consistency"),
    "ict": DistillMethod(
        *(1e-4, 0.0, "radam", "decay", "none", "level", "consistency"),
        guidances=("none", "shared"),  # it has no teacher that could be guided
        has_solver=False,
    ),
    "guided": DistillMethod(
        *(1e-4, 0.0, "adamw", "decay-0.999", "embedded", None, "ddim"),
        guidances=("embedded", "fixed"),
        has_solver=False,
        staged=True,
    ),
    "progressive": DistillMethod(
        *(1e-4, 0.0, "adamw", "decay-0.999", "none", None, "ddim"),
        guidances=("none", "fixed", "embedded"),
        has_solver=False,
        staged=True,
    ),
}


def methods_with(option: Literal["has_solver", "is_consistency", "staged"]) -> str:
    """The names of the methods for which that holds, for messages."""
    return ", ".join(name for name, method in DISTILL_METHODS.items() if getattr(method, option))


def check_guidance(name: MethodName, guidance: GuidanceName, low: float, high: float) -> None:
    """Refuses guidance that a method has not, and a range that is none.

    **Raises** `ValueError`.
    """
    allowed = DISTILL_METHODS[name].guidances
    if guidance not in allowed:
        raise ValueError(
            f"The guidance of {name} is one of {', '.join(allowed)}; received {guidance!r}. Choose "
            "one of these with --guidance, or leave it out."
        )
    if not -math.inf < low <= high < math.inf:
        raise ValueError(
            "A guidance range runs from its lower to its higher scale, received --guidance-range "
            f"{low} {high}. Use for instance --guidance-range 6 16."
        )
    if guidance == "fixed" and low != high:
        raise ValueError(
            f"Fixed guidance has one scale, received the range {low} to {high}. Pass it twice: "
            "--guidance-range 3 3."
        )


def check_solver(name: MethodName, solver: str) -> None:
    """Refuses the solver of a teacher's step that is unknown, stochastic, or of no use.

    **Raises** `ValueError`.
    """
    from ..sampling import make_solver, needs_key

    if not DISTILL_METHODS[name].has_solver:
        raise ValueError(
            f"{name} has no teacher's step whose solver could be chosen, received --solver "
            f"{solver}. Leave it out, or use one of {methods_with('has_solver')}."
        )
    if needs_key(make_solver(solver)):
        raise ValueError(
            "A teacher's step follows the probability flow, received the stochastic --solver "
            f"{solver}. Use ddim, heun or dpm++2s."
        )


def check_stages(stages: tuple[int, ...]) -> None:
    """Refuses stages that do not halve the sampling steps.

    **Raises** `ValueError`.
    """
    halves = itertools.pairwise(stages)
    if not stages or min(stages) < 1 or any(more != 2 * fewer for more, fewer in halves):
        raise ValueError(
            f"Each stage has half the sampling steps of the one before, received --stages "
            f"{' '.join(map(str, stages))}. Use for instance --stages 16 8 4."
        )
