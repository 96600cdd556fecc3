"""Runs a benchmark in several processes and prints each ratio's median and range over them.

    python benchmarks/processes.py 5 benchmarks/train_step.py --rounds 3

Two processes with the same program differ by more than two rounds of one process. A ratio is that
of `benchmarks/_peer.py`: the peer's time over ours, the median of its rounds.
"""

import re
import statistics
import subprocess
import sys
from collections import defaultdict

RATIO = re.compile(r"^(.*?)\s*ours\s+([\d.]+) ms\s+peer\s+([\d.]+) ms\s+ratio\s+([\d.]+)x")


def measured(text: str) -> dict[str, tuple[float, float, float]]:
    """Milliseconds of ours and of the peer, and their ratio, by heading and label of the line."""
    heading, numbers = "", {}
    for line in text.splitlines():
        match = RATIO.match(line)
        if match is not None:
            ours, peer, ratio = map(float, match.groups()[1:])
            numbers[f"{heading} {match[1].strip(': ')}".strip()] = (ours, peer, ratio)
        elif line and not line[0].isspace():
            heading = line.partition(",")[0]
    return numbers


def main(processes: int, command: list[str]) -> None:
    """Runs the command so often, one process after the other."""
    results = defaultdict(list)
    for number in range(processes):
        text = subprocess.run(
            [sys.executable, *command], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
        for label, numbers in measured(text).items():
            results[label].append(numbers)
            print(f"process {number + 1}: {label}: {numbers[2]:.2f}x", flush=True)
    for label, rows in results.items():
        ours, peer, ratios = zip(*rows, strict=True)
        print(
            f"{label}: ours {statistics.median(ours):.0f} ms, peer {statistics.median(peer):.0f} "
            f"ms, ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    if len(sys.argv) < 3 or not sys.argv[1].isdecimal():
        raise SystemExit("Use: python benchmarks/processes.py PROCESSES SCRIPT [OPTION ...]")
    main(int(sys.argv[1]), sys.argv[2:])
