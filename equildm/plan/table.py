"""The results of a plan as a table, on the terminal and in Markdown."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from .results import PlanResult
from .roofline import Limit

HEADERS = (
    "size",
    "program",
    "slice",
    "mesh",
    "remat",
    "examples per chip x accumulation steps",
    "memory / limit (GiB)",
    "fits",
    "TFLOP",
    "HBM traffic (GB)",
    "interconnect traffic received (GB)",
    "sent / theory",
    "lower bound (s)",
    "set by",
    "MFU upper bound",
    "training",
    "compiler level",
    "compile (s)",
)
_LEFT = HEADERS[:5]
_GIB = 2**30
_LIMITS: Mapping[Limit, str] = {"compute": "compute", "memory": "HBM", "links": "interconnect"}

_LEGEND = """\
# All plans

`recipes/plan_tpu.py` wrote this page with `--report`. Each row is a program that was compiled for a
slice of TPUs. Nothing was run. All numbers are those of one chip.

- **program**: `train` is one update of the weights. `sample` is one guided batch of images.
- **remat**: activations that the backward pass computes again.
- **examples per chip x accumulation steps**: the first number is what a chip computes at once.
- **memory / limit**: memory at the fullest moment, and the memory of a chip.
- **TFLOP**: operations of one update, or of one step of a sampler, with padding to the matrix unit.
- **HBM traffic**: bytes between a chip and its memory, by XLA's count; of a transformer with its
  blocks unrolled, because XLA counts a loop once.
- **sent / theory**: bytes that the compiled program sends, over those that sharding predicts. It is
  blank with an axis `tensor`, which also sends activations, and where the program does not fit.
- **lower bound**: the longest of compute, HBM and interconnect time, at the chip's published rates.
  **set by** names that resource. It is no forecast: nothing was timed.
- **MFU upper bound**: model-FLOPs utilisation at that bound.
- **training**: {updates:,} updates at that bound.
- **compiler level**: XLA's optimisation level. A run is compiled at O2, which may need more memory.
- **compile**: processor seconds of the compiler.
- A star marks the mesh with the lowest bound, where several were compiled with the same options. Of
  equal bounds, the mesh with less traffic has it.

"""


def print_table(results: Sequence[PlanResult], updates: int) -> None:
    """Prints the table and, below it, what each program sends beside theory.

    The fastest mesh of each case has a star. `updates` is the number of steps of a training.
    """
    table = Table(title="One chip, one update (train) or one batch (sample)")
    for header in HEADERS:
        table.add_column(header, justify="left" if header in _LEFT else "right")
    for result in results:
        table.add_row(*table_row(result, updates, is_fastest(result, results)))
    Console(width=190).print(table)
    for result in results:
        for line in collective_lines(result):
            print(line)


def markdown_table(results: Sequence[PlanResult], updates: int) -> str:
    """The table in Markdown."""
    rows = [list(HEADERS), ["---"] * len(HEADERS)]
    rows += [table_row(result, updates, is_fastest(result, results)) for result in results]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in rows)


def markdown_page(results: Sequence[PlanResult], updates: int) -> str:
    """A page with the table: its title, what the columns mean, and what the rows have in common."""
    page = _LEGEND.format(updates=updates)
    if results:
        page += f"Options that all rows share: {_shared(results)}.\n\n"
    return page + markdown_table(results, updates)


def _shared(results: Sequence[PlanResult]) -> str:
    """The options and versions that are equal in all results, as text."""
    rows = [{**result["case"], **result["versions"]} for result in results]
    listed = ("optimizer", "ema", "side", "tokens", "context_width", "jax", "libtpu")
    equal = [name for name in listed if len({row.get(name) for row in rows}) == 1]
    return ", ".join(f"{name} {rows[0].get(name)}" for name in equal)


def is_fastest(result: PlanResult, results: Sequence[PlanResult]) -> bool:
    """Whether `results` has other meshes for this case, and none of them is faster."""
    names = (result["case"].keys() | {"backbone"}) - {"mesh", "per_chip"}
    rivals = [
        other
        for other in results
        if _ranked(other) and all(other["case"].get(n) == result["case"].get(n) for n in names)
    ]
    if not _ranked(result) or len({other["case"]["mesh"] for other in rivals}) < 2:
        return False
    return _times(result) == min(map(_times, rivals))


def _ranked(result: PlanResult) -> bool:
    return result["fits"] and "bound" in result


def _times(result: PlanResult) -> list[float]:
    """What meshes are ordered by: the bound, then the times of the three resources."""
    bound = result["bound"]
    times = (bound["compute"], bound["memory"], bound["links"])
    return [bound["seconds"], *sorted(times, reverse=True)]


def table_row(result: PlanResult, updates: int, fastest: bool = False) -> list[str]:
    """The cells of one row."""
    case = result["case"]
    excess = (result["memory"] - result["limit"]) / _GIB
    cells = [
        _model(case),
        str(case["what"]),
        str(case["topology"]),
        str(case["mesh"]) + (" *" if fastest else ""),
        str(case["remat"]),
        f"{result['per_chip']} x {result['parts']}",
        f"{result['memory'] / _GIB:.2f} / {result['limit'] / _GIB:.2f}",
        "yes" if result["fits"] else f"no, {excess:.1f} over",
    ]
    if "bound" not in result:
        cells += [""] * (len(HEADERS) - len(cells))
        return [*cells[:-2], str(case["effort"]), ""]
    seconds = result["bound"]["seconds"]
    return [
        *cells,
        f"{result['executed_flops'] / 1e12:.1f}",
        f"{result['traffic'] / 1e9:.0f}",
        f"{result['received'] / 1e9:.2f}",
        sent_over_theory(result),
        f"{seconds:.3g}",
        _LIMITS[result["bound"]["by"]],
        f"{result['mfu']:.0%}",
        f"{updates * seconds / 86400:.1f} d" if case["what"] == "train" else "",
        str(case["effort"]),
        f"{result['compile']['compile_seconds']:.0f}",
    ]


def sent_over_theory(result: PlanResult) -> str:
    """Bytes that all collectives send over those of `expected_collectives`, as text.

    Empty for a mesh with `tensor`: theory does not count the activations that it sends.
    """
    if "collectives" not in result or "tensor" in str(result["case"]["mesh"]):
        return ""
    sent = sum(kind["bytes"] for kind in result["collectives"].values())
    theory = sum(kind["bytes"] for kind in result["expected"].values())
    return f"{sent / theory:.3f}" if sent and theory else ""


def _model(case: Mapping[str, object]) -> str:
    return f"{case.get('backbone', '')} {case['preset']}".strip()


def collective_lines(result: PlanResult) -> list[str]:
    """The collectives of a program beside those of theory, one kind a line."""
    if not result.get("collectives"):
        return []
    case = result["case"]
    lines = [f"{_model(case)} {case['what']} {case['topology']} {case['mesh']}:"]
    for kind, theory in result["expected"].items():
        lines.append(f"  theory: {theory['count']} {kind}, {theory['bytes'] / 1e9:.3f} GB")
    for kind, sent in sorted(result["collectives"].items()):
        lines.append(
            f"  program: {sent['instructions']} {kind}, {sent['runs']} runs, "
            f"{sent['bytes'] / 1e9:.3f} GB, the largest {sent['largest'] / 1e6:.1f} MB"
        )
    if ratio := sent_over_theory(result):
        lines.append(f"  all that is sent, over theory: {ratio}")
    return lines
