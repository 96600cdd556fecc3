"""A process that keeps freed memory does not ask the system for it again."""

import sys

import pytest
from helpers import run_python

CODE = """
import resource
import numpy as np
from equildm.runtime.freed_memory import keep_freed_memory

def faults():
    np.ones(25_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(25_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
assert keep_freed_memory()
print(faults(), given_back)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_pages_are_asked_for_once():
    kept, given_back = map(int, run_python(CODE).split()[-2:])
    assert kept < 1000  # of 5 times 49,000 pages of 4 KiB
    assert given_back > 5 * kept + 400


PROGRAM = """
import os, resource, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp
from equildm.runtime.freed_memory import keep_freed_memory

if sys.argv[1] == "late":
    jax.devices()
assert keep_freed_memory() == (sys.argv[1] == "early")
hold = jax.lax.optimization_barrier
call = jax.jit(lambda x: hold(3 + hold(2 * x)).max())
x = jnp.ones((200, 60_000))
faults = []
for _ in range(15):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sum(sorted(faults)[:5]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_it_comes_before_the_devices():
    """Later it says that it has no effect.

    The first calls still find their places, and beside other work later ones. So the five calls of
    15 with the least counts decide: in them no page is asked for, or all are each time, 11,719 of
    them in an array that the barriers keep. The program has no part for which XLA's threads take
    memory of their own, as a Fourier transform has: such pages are asked for anew now and then.
    """
    kept, given_back = (int(run_python(PROGRAM, word).split()[-1]) for word in ("early", "late"))
    assert kept < 1000 < 10_000 < given_back


LEFT = """
import jax
from equildm.runtime.freed_memory import _COMPILED, give_back_freed_memory, keep_freed_memory

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 1_000_000

assert keep_freed_memory() and keep_freed_memory()
last = []
for seconds in (None, 2.0, 0.1):
    blocks = [bytearray(100_000) for _ in range(2000)]
    last.append(bytearray(100_000))  # above them, so that they are no end that could be cut off
    del blocks
    before = megabytes()
    if seconds is None:
        give_back_freed_memory()
    else:
        jax.monitoring.record_event_duration_secs(_COMPILED, seconds)
    print(before - megabytes())

heard = []
jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: heard.append(name))
jax.jit(lambda x: x * 1.25 + 3)(jax.numpy.ones(7))
print(_COMPILED in heard)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_what_a_compilation_leaves_is_given_back():
    """What is left after a call, a long compilation and a short one; and that the event is that of
    a compilation."""
    call, long, short, is_heard = run_python(LEFT).split()[-4:]
    assert int(call) > 150 and int(long) > 150 and int(short) <= 150
    assert is_heard == "True"
