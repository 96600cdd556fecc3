"""The results of `plan_tpu.py` as a table."""

from typing import Any

from rich.console import Console
from rich.table import Table

HEADERS = (
    "size",
    "what",
    "slice",
    "mesh",
    "a chip x parts",
    "GiB of",
    "fits",
    "TFLOP",
    "GB moved",
    "GB received",
    "sent / theory",
    "bound (s)",
    "by",
    "MFU <=",
    "training",
    "compile (s)",
)
GIB = 2**30


def table(results: list[dict[str, Any]], steps: int) -> None:
    """Prints them; the fastest of each size and slice has a star."""
    shown = Table(title="One chip, one update (train) or one batch (sample)")
    for header in HEADERS:
        shown.add_column(header, justify="left" if header in HEADERS[:4] else "right")
    for result in results:
        shown.add_row(*row(result, steps, best(results, result)))
    Console(width=190).print(shown)
    for result in results:
        for line in explained(result):
            print(line)


def markdown(results: list[dict[str, Any]], steps: int) -> str:
    """The table for a page."""
    rows: list[Any] = [HEADERS, ["---"] * len(HEADERS)]
    rows += [row(result, steps, best(results, result)) for result in results]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in rows)


def best(results: list[dict[str, Any]], result: dict[str, Any]) -> bool:
    """Whether there are other meshes for this case, and none that is faster."""

    def same(other: dict[str, Any]) -> bool:
        names = result["case"].keys() - {"mesh", "per_chip"}
        return other["fits"] and all(other["case"].get(n) == result["case"][n] for n in names)

    rivals = [other for other in results if same(other)]
    if not result["fits"] or len({other["case"]["mesh"] for other in rivals}) < 2:
        return False
    return result["bound"]["seconds"] == min(other["bound"]["seconds"] for other in rivals)


def row(result: dict[str, Any], steps: int, star: bool = False) -> list[str]:
    """One line of the table."""
    case = result["case"]
    over = (result["memory"] - result["limit"]) / GIB
    fit = "yes" if result["fits"] else f"by {over:.1f} no"
    line = [
        case["preset"],
        case["what"],
        case["topology"],
        case["mesh"] + (" *" if star else ""),
        f"{result['per_chip']} x {result['parts']}",
        f"{result['memory'] / GIB:.2f} / {result['limit'] / GIB:.2f}",
        fit,
    ]
    if "bound" not in result:
        return line + [""] * (len(HEADERS) - len(line))
    seconds = result["bound"]["seconds"]
    days = steps * seconds / 86400
    return [
        *line,
        f"{result['executed_flops'] / 1e12:.1f}",
        f"{result['traffic'] / 1e9:.0f}",
        f"{result['received'] / 1e9:.2f}",
        share(result),
        f"{seconds:.3g}",
        result["bound"]["by"],
        f"{result['mfu']:.0%}",
        f"{days:.1f} d" if case["what"] == "train" else "",
        f"{result['compile']['compile_seconds']:.0f}",
    ]


def share(result: dict[str, Any]) -> str:
    """The bytes that all collectives send, over those that the mesh explains. A mesh with `tensor`
    sends activations too, which are not counted ahead."""
    if "tensor" in result["case"]["mesh"]:
        return ""
    found = sum(one["bytes"] for one in result["collectives"].values())
    theory = sum(one["bytes"] for one in result["expected"].values())
    return f"{found / theory:.3f}" if found and theory else ""


def explained(result: dict[str, Any]) -> list[str]:
    """The collectives found beside those that the mesh explains."""
    if not result.get("collectives"):
        return []
    case = result["case"]
    lines = [f"{case['preset']} {case['what']} {case['topology']} {case['mesh']}:"]
    for kind, theory in result["expected"].items():
        lines.append(f"  theory: {theory['count']} {kind}, {theory['bytes'] / 1e9:.3f} GB")
    for kind, found in sorted(result["collectives"].items()):
        lines.append(
            f"  found: {found['instructions']} {kind}, {found['runs']} runs, "
            f"{found['bytes'] / 1e9:.3f} GB, the largest {found['largest'] / 1e6:.1f} MB"
        )
    if share(result):
        lines.append(f"  all that is sent, over theory: {share(result)}")
    return lines
