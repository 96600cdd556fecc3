"""One case compiled, and the numbers that follow from the program."""

import math
from importlib.metadata import version
from pathlib import Path

from ..runtime import make_mesh
from ..runtime.platform import compiling_for
from .ahead import compile_ahead, DoesNotFit, Program
from .case import PlanCase
from .collectives import totals
from .expected import expected_collectives
from .programs import abstract_program, model_flops
from .results import PlanResult
from .roofline import roofline
from .topology import Chip, describe_devices, parse_topology


def plan_case(case: PlanCase, *, text: Path | None = None) -> PlanResult:
    """Compiles a case and works out what one chip needs. Call `plan_on_this_host` before.

    **Arguments:**

    - `case`: with `per_chip` above 0, see `PlanCase.attempts`.
    - `text`: a folder for the text of the compiled program.

    **Raises** `ImportError` where libtpu is missing, and `ValueError` where `per_chip` is 0.
    """
    if not case.per_chip:
        raise ValueError("A case is compiled with per_chip above 0, received 0. Use `attempts`.")
    chip, shape = parse_topology(case.topology)
    mesh = make_mesh(case.mesh, devices=describe_devices(case.topology))
    compiled = None
    with compiling_for("tpu"):
        program = abstract_program(case, mesh)
        try:
            compiled = compile_ahead(
                program.function,
                *program.args,
                donate=program.donate,
                turns=case.program_parts,
                effort=case.effort,
                text=None if text is None else _text_file(case, text).write_text,
            )
            memory, limit = float(compiled.memory), chip.hbm
        except DoesNotFit as error:
            memory, limit = error.needed, error.limit
    result: PlanResult = {
        "case": case.key(),
        "chips": math.prod(shape),
        "per_chip": case.per_chip,
        "parts": case.parts,
        "limit": limit,
        "versions": {name: version(name) for name in ("jax", "libtpu")},
        "fits": compiled is not None and memory <= limit,
        "memory": memory,
    }
    if compiled is None:
        return result
    result["expected"] = expected_collectives(case, mesh)
    return _with_facts(result, case, compiled, chip)


def _with_facts(result: PlanResult, case: PlanCase, program: Program, chip: Chip) -> PlanResult:
    """`result` with the numbers of a compiled program.

    They are those of one chip and one update; of a sampler those of one step for one part of the
    batch, but for the bound, which is that of all steps and parts.
    """
    model = model_flops(case) / result["chips"]
    received = sum(collective.received for collective in program.collectives)
    if case.program == "train":
        # XLA counts the loop over parts of the batch once. What the optimiser reads and writes, the
        # state twice, is outside.
        outside = min(2.0 * program.arguments, program.traffic)
        traffic = outside + (program.traffic - outside) * case.parts
        turns, executed = 1, program.executed.total / result["chips"]
    else:
        # The loop has no length in the traced program, so that its share of padding counts.
        traffic, turns = program.traffic, case.sampling_steps * case.parts
        executed = model / turns * program.executed.total / program.flops.total
    bound = roofline(flops=executed, traffic=traffic, received=received, chip=chip)
    return {
        **result,
        "arguments": program.arguments,
        "temporaries": program.temporaries,
        "model_flops": model,
        "flops": program.flops.total / result["chips"],
        "executed_flops": executed,
        "traffic": traffic,
        "received": received,
        "collectives": totals(program.collectives),
        "bound": {
            "compute": bound.compute,
            "memory": bound.memory,
            "links": bound.links,
            "seconds": bound.seconds * turns,
            "by": bound.limit,
        },
        "mfu": bound.utilisation(model / turns, chip),
        "compile": {
            "trace_seconds": program.trace_seconds,
            "compile_seconds": program.compile_seconds,
            "wall_seconds": program.wall_seconds,
        },
    }


def _text_file(case: PlanCase, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{case.file_name()}.hlo"
