"""Times two implementations side by side: ours in this process, a peer in a process of its own.

The peer is a script that serves commands (`benchmarks/peers/`), run by the interpreter that
`EQUILDM_PEER_PYTHON` names, because PyTorch lives in another environment than jax. It is built
once, stays alive, and is blocked on its standard input while ours runs. So the two can be
*alternated*, and slow moments of the machine affect both alike:

    with Peer("benchmarks/peers/unet_worker.py", {"width": 32, "batch": 8, "size": 16}) as peer:
        print(compare_with(peer, "step", ours, rounds=7))

where `ours()` makes one call and waits for its result.

**The protocol.** The worker reads one line of JSON, writes one line of JSON. The first line is the
configuration and its answer says what was built; then `{"command": ..., ...}`, answered by at least
`{"seconds": ..., "peak_mb": ...}` or `{"error": ...}`. See `benchmarks/peers/_serve.py`.
"""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parents[1]
PEER_PYTHON = "EQUILDM_PEER_PYTHON"


def peer_python() -> str | None:
    """The interpreter that has PyTorch: the one the environment names, else this one if it has."""
    if python := os.environ.get(PEER_PYTHON):
        return python
    return sys.executable if find_spec("torch") else None


class Peer:
    """A worker process, commanded over pipes.

    **Arguments:**

    - `script`: the worker's file.
    - `config`: what it builds, as JSON.
    - `python`: the interpreter; `peer_python()` by default.

    Calling it sends one command and waits for the answer, a dictionary. `built` is its first
    answer. Raises `RuntimeError` with the worker's traceback if it fails.
    """

    def __init__(self, script: str | Path, config: Mapping[str, Any], *, python: str | None = None):
        python = python or peer_python()
        if python is None:
            raise RuntimeError(
                f"The peer needs an interpreter with PyTorch, and this one has none: set "
                f"{PEER_PYTHON} to the python of an environment with torch and diffusers."
            )
        # Where this interpreter runs the peer as well, its packages are the peer's.
        path = os.environ.get("PYTHONPATH") if python == sys.executable else None
        # Another environment has its bytecode beside its packages: elsewhere PyTorch's would be
        # compiled again, which takes longer than to import it.
        env = dict(os.environ)
        if python != sys.executable:
            env.pop("PYTHONPYCACHEPREFIX", None)
        self._process = subprocess.Popen(
            [python, "-u", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), path]))},
        )
        try:
            self.built = self._exchange(config)
        except BaseException:
            self.close()
            raise

    def __call__(self, command: str, **fields: Any) -> dict[str, Any]:
        return self._exchange({"command": command, **fields})

    def _exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise RuntimeError(
                f"The peer ended with exit code {self._process.returncode} at {dict(message)}."
            )
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"The peer failed at {dict(message)}:\n{answer['error']}")
        return answer

    def close(self) -> None:
        """Ends the worker: it stops at the end of its input."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Timing(NamedTuple):
    """Seconds of single calls, in the order of the rounds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, over the median."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / 2 / self.median


class Comparison(NamedTuple):
    """`ratio` is the peer's time over ours: above 1 ours is faster; `low`, `high` are quartiles."""

    ours: Timing
    peer: Timing
    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"ours {1e3 * self.ours.median:8.1f} ms  peer {1e3 * self.peer.median:8.1f} ms  "
            f"ratio {self.ratio:5.2f}x ({self.low:.2f} to {self.high:.2f})"
        )


def timed(function: Callable[[], object]) -> Callable[[], float]:
    """A function that calls `function` and returns its seconds.

    `function` must wait for its result (`jax.block_until_ready`).
    """

    def call() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return call


def alternate(
    calls: Mapping[str, Callable[[], float]], *, rounds: int = 7, warmup: int = 1
) -> dict[str, Timing]:
    """Calls each in turn, A B A B ..., `rounds` times after `warmup` rounds that do not count.

    A call returns its own seconds. The order turns round with every round (A B, B A), so that
    neither always follows the other.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(-warmup, rounds):
        for name in list(calls)[:: 1 if i % 2 == 0 else -1]:
            took = calls[name]()
            if i >= 0:
                seconds[name].append(took)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def compare(ours: Timing, peer: Timing) -> Comparison:
    """The ratio round by round, its median and quartiles: a slow moment that hit both cancels."""
    ratios = [b / a for a, b in zip(ours.seconds, peer.seconds, strict=True)]
    low, _, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    )
    return Comparison(ours, peer, statistics.median(ratios), low, high)


def compare_with(
    peer: Peer, command: str, ours: Callable[[], object], *, rounds: int
) -> Comparison:
    """`ours`, which waits for its result, beside a command of the peer, in turn."""
    calls = {"ours": timed(ours), "peer": lambda: peer(command)["seconds"]}
    timings = alternate(calls, rounds=rounds)
    return compare(timings["ours"], timings["peer"])


def peak_mb() -> float:
    """The most memory this process has held so far, resident, in MB (10^6 bytes).

    From `/proc` where there is one: `ru_maxrss` of a child starts at its parent's on Linux.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def reset_peak() -> bool:
    """Resets the peak, for instance after a compilation. Linux only; False elsewhere."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return True
    except OSError:
        return False
