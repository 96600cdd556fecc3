"""Compiling for a machine that is not here, and what its compiler reports."""

import dataclasses
import re
import resource
import time
from collections.abc import Callable

import jax
from jaxtyping import PyTree

from ..runtime.flops import Flops, jaxpr_flops
from ..runtime.platform import platform
from .collectives import Collective, read_collectives
from .names import Effort

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)([KMGT])"
_TOO_BIG = (
    re.compile(rf"\({_SIZE}\) exceeds available HBM \({_SIZE}\)"),
    re.compile(rf"[Uu]sed {_SIZE} of {_SIZE} hbm", re.IGNORECASE),
)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program. Sizes are bytes on one device.

    **Fields:**

    - `arguments`: the arguments, such as the state of a training step.
    - `results`: the results that do not take the place of a donated argument.
    - `temporaries`: activations, gradients and gathered weights at the fullest moment.
    - `code`: the program itself.
    - `traffic`: bytes between memory and chip, by XLA's count, a loop's body once.
    - `collectives`: see `read_collectives`.
    - `flops`: operations of all devices, see `jaxpr_flops`.
    - `executed`: the same with the attention kernel's narrow heads padded to the matrix unit.
    - `trace_seconds`, `compile_seconds`: processor time, which other work on the machine does not
        lengthen.
    - `wall_seconds`: time of both by the clock.
    """

    arguments: int
    results: int
    temporaries: int
    code: int
    traffic: float
    collectives: list[Collective]
    flops: Flops
    executed: Flops
    trace_seconds: float
    compile_seconds: float
    wall_seconds: float

    @property
    def memory(self) -> int:
        """Bytes at the fullest moment."""
        return self.arguments + self.results + self.temporaries + self.code


class DoesNotFit(Exception):
    """The compiler refused a program that exceeds a device's memory. Both sizes are bytes."""

    def __init__(self, needed: float, limit: float):
        super().__init__(
            f"The program needs {needed / 2**30:.2f} GiB of a device that has "
            f"{limit / 2**30:.2f} GiB, {(needed - limit) / 2**30:.2f} GiB too much."
        )
        self.needed = needed
        self.limit = limit


def compile_ahead(
    function: Callable[..., PyTree],
    *args: PyTree,
    donate: tuple[int, ...] = (),
    turns: int = 1,
    effort: Effort = "O1",
    text: Callable[[str], object] | None = None,
) -> Program:
    """Compiles `function(*args)` for the devices of its arguments' shardings.

    Call it inside `compiling_for`.

    **Arguments:**

    - `function`: from arrays to arrays.
    - `args`: `ShapeDtypeStruct`s with shardings, see `abstract`.
    - `donate`: numbers of the arguments whose buffers are donated to the results.
    - `turns`: the length of a loop whose text does not state one.
    - `effort`: optimisation level of the compiler; programs that run are compiled with `"O2"`.
    - `text`: called with the compiled program's text.

    **Raises** `DoesNotFit` where the compiler refuses the program for its memory.
    """
    wall, start = time.perf_counter(), _processor_seconds()
    traced = jax.jit(function, donate_argnums=donate).trace(*args)
    target = platform()
    lowered = traced.lower(lowering_platforms=("cuda" if target == "gpu" else target,))
    middle = _processor_seconds()
    try:
        compiled = lowered.compile(compiler_options={"optimization_level": effort})
    except jax.errors.JaxRuntimeError as error:
        sizes = out_of_memory(str(error))
        if sizes is None:
            raise
        raise DoesNotFit(*sizes) from None
    end = _processor_seconds()
    if text is not None:
        text(compiled.as_text())
    memory = compiled.memory_analysis()
    cost = compiled.cost_analysis() or {}
    return Program(
        arguments=memory.argument_size_in_bytes,
        results=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        traffic=float(cost.get("bytes accessed", 0.0)),
        collectives=read_collectives(compiled.as_text(), turns),
        flops=jaxpr_flops(traced.jaxpr),
        executed=jaxpr_flops(traced.jaxpr, lanes=128),
        trace_seconds=middle - start,
        compile_seconds=end - middle,
        wall_seconds=time.perf_counter() - wall,
    )


def out_of_memory(message: str) -> tuple[float, float] | None:
    """Bytes needed and bytes available, from a compiler's message that a program is too large.

    `None` for any other message.
    """
    for pattern in _TOO_BIG:
        if match := pattern.search(message):
            needed, unit, limit, other = match.groups()
            return float(needed) * _UNITS[unit], float(limit) * _UNITS[other]
    return None


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
