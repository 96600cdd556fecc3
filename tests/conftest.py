"""What every test runs under: checked annotations, the CPU, one device, a compile cache, peers.

Set before jax is imported. Tests that need several devices run in a process of their own:
`helpers.run_python`.
"""

import gc
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
# The workers fill the cores: threads of small programs would wait for each other.
os.environ.setdefault("NPROC", "1")  # threads of XLA
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's, which spin while they wait

if sys.dont_write_bytecode:
    # Each process would compile jax from its source: half the time of most that tests start.
    BYTECODE = Path(__file__).resolve().parents[1] / ".pytest_cache" / "bytecode"
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(BYTECODE)

from checked_arrays import check_arrays

check_arrays("equildm")

import jax  # noqa: E402
import numpy as np  # noqa: E402
from compile_cache import LIMIT, prune  # noqa: E402

from benchmarks._peer import Peer, PEER_PYTHON, peer_python  # noqa: E402
from equildm.runtime import freed_memory  # noqa: E402

collect_ignore = ["peers"]

QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""Compiles in half the time, which is most of the tests'. The code is slower, and the same."""

LONG = ("docs", "faults", "pipeline", "recipes", "sampling")
"""Rooms of long tests."""

MAPS = 15_000
"""Memory maps above which compiled programs are forgotten."""

_tests_done = itertools.count(1)

RunPeer = Callable[..., dict[str, np.ndarray]]


def pytest_configure(config: pytest.Config) -> None:
    """A second run compiles nothing: the compile cache lies in pytest's (`--cache-clear`).

    Processes that tests start inherit the variables. Flags that you set win over `QUICK`.
    """
    gc.set_threshold(50_000)  # tracing makes many objects and few cycles: a tenth less time
    # A recipe that runs in this process would make it stay as large as its largest test.
    freed_memory.keep_freed_memory = lambda: False
    flags = os.environ.get("XLA_FLAGS", "")
    if QUICK not in flags:
        os.environ["XLA_FLAGS"] = f"{QUICK} {flags}".strip()
    assert config.cache is not None
    folder = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("jax")))
    least = os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    # What the library keeps for its user, it keeps for the tests alone.
    os.environ.setdefault("XDG_CACHE_HOME", str(config.cache.mkdir("user")))
    # This process imported jax before; workers and what they start read the variables.
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", float(least))


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, since some tests wait: for processes, locks and peers."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m peer` selects what uses the fixture; the mark need not be written. Long tests go first.

    So short ones are left for the end, when one worker waits for the other.
    """
    for item in items:
        if "peer" in getattr(item, "fixturenames", ()):
            item.add_marker("peer")
    items.sort(key=lambda item: item.path.parent.name not in LONG)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Bounds the compile cache, once for all workers; one that you name is yours."""
    if not hasattr(config, "workerinput") and config.cache is not None:
        prune(config.cache.mkdir("jax"), LIMIT)


def pytest_runtest_logfinish() -> None:
    """Forgets compiled programs in time: each holds memory maps, of which a process has 65,530.

    Without it the suite outgrew them, and a worker died of a segmentation fault. What is kept, such
    as traced programs, is set aside, so that a collection does not look at it: it took 4 seconds.
    """
    if next(_tests_done) % 20:
        return
    if _memory_maps() > MAPS:
        jax.clear_caches()
        gc.unfreeze()
        gc.collect()
    gc.freeze()


def _memory_maps() -> int:
    maps = Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0  # only Linux has this limit


@pytest.fixture(scope="session")
def _peer_process() -> Iterator[Peer]:
    if peer_python() is None:
        reason = f"no PyTorch: {PEER_PYTHON} names no interpreter and this one has none"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; .ci/run must make one")
        pytest.skip(reason)
    with Peer("tests/peers/_worker.py", {}) as process:
        yield process


@pytest.fixture(scope="session")
def peer(_peer_process: Peer, tmp_path_factory: pytest.TempPathFactory) -> RunPeer:
    """Runs a public implementation: `peer("unet", config={...}, x=array) -> {"output": array}`.

    The name is that of a script in `tests/peers/`, which defines `run(config, arrays)`. `config` is
    JSON-able; arrays go in and out by name as numpy. Torch's seed is 0 at each call. One process
    serves all calls. Skipped where there is no PyTorch, an error there when CI=true.
    """

    def run(
        name: str, /, config: Mapping[str, Any] | None = None, **arrays: Any
    ) -> dict[str, np.ndarray]:
        folder = tmp_path_factory.mktemp(f"peer-{name}")
        np.savez(folder / "in.npz", **{key: np.asarray(value) for key, value in arrays.items()})
        _peer_process("run", name=name, folder=str(folder), config=dict(config or {}))
        with np.load(folder / "out.npz") as file:
            return dict(file)

    return run
