"""Options that are refused before any process waits for another; parts of a batch on odd meshes."""

import helpers
import jax
import numpy as np
import pytest

from equildm.runtime import batch_parts, Cluster, gather, make_mesh, put, shardings
from equildm.runtime.gather import _parts


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coordinator": "10.0.0.1"}, "HOST:PORT, received '10.0.0.1'"),
        ({"processes": 0}, "at least 1 process, received processes=0"),
        ({"processes": 2, "process_id": 2}, "from 0 to 1, received process_id=2"),
        ({"heartbeat": 0}, "at least 1 second"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Cluster(**options).join()


def test_the_environment_is_asked_and_checked(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES is a number, received 'two'"):
        Cluster().join()
    monkeypatch.setenv("JAX_NUM_PROCESSES", "1")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    Cluster().join()  # alone, and nothing is waited for
    assert not jax.distributed.is_initialized()


ALONE = """
import jax
from equildm.runtime import broadcast_from_first, Cluster, on_first_process
try:
    Cluster(processes=2, process_id=0).join()
except ValueError as error:
    assert "coordinator=None" in str(error) and "Pass all three" in str(error)
else:
    raise AssertionError
Cluster().join()
assert not jax.distributed.is_initialized()
assert broadcast_from_first(7) == 7 and broadcast_from_first(None) is None
on_first_process("printed", lambda: print("printed"))
"""


def test_alone_without_a_scheduler():
    """In a process that has not looked at devices yet, as JAX requires."""
    assert helpers.run_python(ALONE, devices=1) == "printed\n"


def test_alone_where_devices_are_in_use():
    jax.devices()
    Cluster().join()  # as one recipe that calls another does
    assert not jax.distributed.is_initialized()
    with pytest.raises(RuntimeError, match="must be called before"):
        Cluster(coordinator="127.0.0.1:1", processes=2, process_id=0).join()


@pytest.mark.parametrize(
    ("owners", "here", "expected"),
    [
        ([[0, 0], [0, 0], [1, 1], [1, 1]], 1, ((1,), 2)),
        ([[0, 0], [0, 0], [1, 1], [1, 1]], 0, ((0,), 2)),
        ([[0, 1]], 1, ((0,), 1)),  # tensor spans both: the same examples
        ([[0, 1], [0, 1]], 0, ((0,), 1)),
        ([[0], [1], [1], [0]], 0, ((0, 3), 4)),  # a ring through two hosts
        ([[0], [1], [1], [0]], 1, ((1, 2), 4)),
        ([[0], [0], [1], [1], [1], [1]], 1, ((2, 3, 4, 5), 6)),
    ],
)
def test_parts_of_a_batch(owners, here, expected):
    assert _parts(np.array(owners), here) == expected


def test_one_process_reads_the_entire_batch():
    assert batch_parts(make_mesh()) == ((0,), 1)


def test_put_and_gather_leave_other_leaves():
    tree = {"w": np.arange(6.0).reshape(2, 3), "f": np.sin, "n": None}
    placed = put(tree, shardings(tree, make_mesh()))
    assert isinstance(placed["w"], jax.Array) and placed["f"] is np.sin and placed["n"] is None
    np.testing.assert_array_equal(gather(placed)["w"], tree["w"])
