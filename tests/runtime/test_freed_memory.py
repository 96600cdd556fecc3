"""A process that keeps freed memory does not ask the system for it again."""

import sys

import pytest
from helpers import run_python

CODE = """
import resource, sys
import numpy as np
from equildm.runtime.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
np.ones(25_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(25_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_pages_are_asked_for_once():
    kept, given_back = (int(run_python(CODE, word).split()[-1]) for word in ("keep", "give"))
    assert kept < 1000  # of 5 times 49,000 pages of 4 KiB
    assert given_back > 5 * kept + 400
