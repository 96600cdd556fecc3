"""What a run that trains refuses before anything is loaded."""

from helpers import run_python

CODE = """
import sys
from pathlib import Path
sys.path.insert(0, "recipes")
from pretrain import Config
from training import MAY_CHANGE

for options, said in [
    (dict(steps=0), "--steps is at least 1, received 0"),
    (dict(accumulate=0), "--accumulate is at least 1, received 0"),
    (dict(accumulate=3), "received 32 examples and --accumulate 3"),
    (dict(accumulate=8, mesh="data=8"), "data x fsdp = 8 devices, received 4"),
    (dict(keep=0), "--keep is at least 1, received 0"),
    (dict(rate=0.0), "is positive, received 0.0"),
    (dict(warmup=-5), "0 steps or more, received -5"),
    (dict(clip=0.0), "above 0, received 0.0"),
    (dict(weight_decay=-1.0), "0 or more, received -1.0"),
    (dict(mesh="data=3"), "received 'data=3'"),
]:
    try:
        Config(run=Path("run"), **(dict(steps=200) | options)).check()
    except ValueError as error:
        assert said in str(error), (options, error)
    else:
        raise AssertionError(options)
Config(run=Path("run"), steps=200, accumulate=4, mesh="data=2,fsdp=4").check()
assert {"accumulate", "remat", "mesh"} < set(MAY_CHANGE)
print("refused")
"""


def test_what_cannot_work_is_refused():
    assert run_python(CODE).split()[-1] == "refused"
