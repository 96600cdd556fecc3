"""One case compiled, and the numbers that follow from the program."""

import math
from importlib.metadata import version
from pathlib import Path

from jax.sharding import Mesh

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
    run = counted = None
    try:
        run = counted = _compiled(case, mesh, text=text)
        memory, limit = float(run.memory), chip.hbm
        if case.unrolled != case.network:
            counted = _unrolled(case, mesh)
    except DoesNotFit as error:
        memory, limit = error.needed, error.limit
    result: PlanResult = {
        "case": case.key(),
        "chips": math.prod(shape),
        "per_chip": case.per_chip,
        "parts": case.parts,
        "limit": limit,
        "versions": {name: version(name) for name in ("jax", "libtpu")},
        "fits": run is not None and memory <= limit,
        "memory": memory,
    }
    if run is None or counted is None:
        return result
    result["expected"] = expected_collectives(case, mesh)
    return _with_facts(result, case, run, counted, chip)


def _compiled(case: PlanCase, mesh: Mesh, *, text: Path | None = None, **options: bool) -> Program:
    """The program of a case for the slice. `options` are those of `abstract_program`."""
    with compiling_for("tpu"):
        program = abstract_program(case, mesh, **options)
        return compile_ahead(
            program.function,
            *program.args,
            donate=program.donate,
            turns=case.program_parts,
            effort=case.effort,
            text=None if text is None else _text_file(case, text).write_text,
        )


def _unrolled(case: PlanCase, mesh: Mesh) -> Program | None:
    """The twin in which nothing hides in a loop; `None` where the compiler refuses it."""
    try:
        return _compiled(case, mesh, unrolled=True)
    except DoesNotFit:
        return None


def _with_facts(
    result: PlanResult, case: PlanCase, run: Program, program: Program, chip: Chip
) -> PlanResult:
    """`result` with the numbers of a compiled program.

    They are those of one chip and one update; of a sampler those of one step for one part of the
    batch, but for the bound, which is that of all steps and parts. The memory is that of `run`; all
    that is counted is that of `program`, the same or its unrolled twin.
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
        "arguments": run.arguments,
        "temporaries": run.temporaries,
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
            "trace_seconds": run.trace_seconds,
            "compile_seconds": run.compile_seconds,
            "wall_seconds": run.wall_seconds,
        },
    }


def _text_file(case: PlanCase, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{case.file_name()}.hlo"
