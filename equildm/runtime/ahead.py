"""Compiling for a machine that is not here, and what its compiler says of the program."""

import dataclasses
import re
import resource
import time
from collections.abc import Callable
from typing import Any, Literal

import jax

from .collectives import Collective, read_collectives
from .flops import Flops, jaxpr_flops

Effort = Literal["O0", "O1", "O2"]

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"([\d.]+)([KMGT])"
_TOO_BIG = (
    re.compile(rf"\({_SIZE}\) exceeds available HBM \({_SIZE}\)"),
    re.compile(rf"[Uu]sed {_SIZE} of {_SIZE} hbm", re.IGNORECASE),
)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program, in bytes of one device.

    **Fields:**

    - `arguments`: what goes in, the state of a training step.
    - `results`: what comes out and does not take the place of an argument.
    - `temporaries`: activations, gradients, gathered weights: whatever lives at the fullest moment.
    - `code`: of the program itself.
    - `traffic`: between memory and chip, by XLA's count, a loop's body once.
    - `collectives`: see `read_collectives`.
    - `flops`: of all devices, see `jaxpr_flops`.
    - `executed`: the same with the attention kernel's narrow heads padded to the matrix unit.
    - `trace_seconds`, `compile_seconds`: of processor time, which other work on the machine does
        not stretch; `wall_seconds`: of both, by the clock.
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
    """The compiler found no way to run the program in a device's memory."""

    def __init__(self, needed: float, limit: float):
        super().__init__(
            f"The program needs {needed / 2**30:.2f} GiB of a device that has "
            f"{limit / 2**30:.2f} GiB, {(needed - limit) / 2**30:.2f} GiB too much."
        )
        self.needed = needed
        self.limit = limit


def compile_ahead(
    function: Callable[..., Any],
    *args: Any,
    donate: tuple[int, ...] = (),
    turns: int = 1,
    effort: Effort = "O1",
    text: Callable[[str], Any] | None = None,
) -> Program:
    """Compiles `function(*args)` for the devices of its arguments' shardings.

    **Arguments:**

    - `function`: of arrays.
    - `args`: `ShapeDtypeStruct`s with shardings, see `abstract`.
    - `donate`: arguments whose memory the results may take.
    - `turns`: of a loop whose length the program's text does not say.
    - `effort`: of the compiler; a program that is to run is compiled with `"O2"`.
    - `text`: is given the compiled program's text.

    **Raises** `DoesNotFit`.
    """
    wall, start = time.perf_counter(), _processor_seconds()
    traced = jax.jit(function, donate_argnums=donate).trace(*args)
    lowered = traced.lower(lowering_platforms=("tpu",))
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
    """Bytes needed and bytes there are, of a compiler's message that a program is too big."""
    for pattern in _TOO_BIG:
        if match := pattern.search(message):
            needed, unit, limit, other = match.groups()
            return float(needed) * _UNITS[unit], float(limit) * _UNITS[other]
    return None


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
