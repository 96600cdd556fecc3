"""The results of a plan as a table, on the terminal and in Markdown."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from .results import PlanResult

HEADERS = (
    "size",
    "program",
    "slice",
    "mesh",
    "a chip x parts",
    "memory / limit (GiB)",
    "fits",
    "TFLOP",
    "GB moved",
    "GB received",
    "sent / theory",
    "bound (s)",
    "set by",
    "MFU <=",
    "training",
    "compile (s)",
)
_LEFT = HEADERS[:4]
_GIB = 2**30


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


def is_fastest(result: PlanResult, results: Sequence[PlanResult]) -> bool:
    """Whether `results` has other meshes for this case, and none of them is faster."""
    names = (result["case"].keys() | {"backbone"}) - {"mesh", "per_chip"}
    rivals = [
        other
        for other in results
        if other["fits"] and all(other["case"].get(n) == result["case"].get(n) for n in names)
    ]
    if not result["fits"] or len({other["case"]["mesh"] for other in rivals}) < 2:
        return False
    return result["bound"]["seconds"] == min(other["bound"]["seconds"] for other in rivals)


def table_row(result: PlanResult, updates: int, fastest: bool = False) -> list[str]:
    """The cells of one row."""
    case = result["case"]
    excess = (result["memory"] - result["limit"]) / _GIB
    cells = [
        _model(case),
        str(case["what"]),
        str(case["topology"]),
        str(case["mesh"]) + (" *" if fastest else ""),
        f"{result['per_chip']} x {result['parts']}",
        f"{result['memory'] / _GIB:.2f} / {result['limit'] / _GIB:.2f}",
        "yes" if result["fits"] else f"no, {excess:.1f} over",
    ]
    if "bound" not in result:
        return cells + [""] * (len(HEADERS) - len(cells))
    seconds = result["bound"]["seconds"]
    return [
        *cells,
        f"{result['executed_flops'] / 1e12:.1f}",
        f"{result['traffic'] / 1e9:.0f}",
        f"{result['received'] / 1e9:.2f}",
        sent_over_theory(result),
        f"{seconds:.3g}",
        result["bound"]["by"],
        f"{result['mfu']:.0%}",
        f"{updates * seconds / 86400:.1f} d" if case["what"] == "train" else "",
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
