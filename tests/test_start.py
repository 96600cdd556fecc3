"""The script that makes the environment and starts what it is given there."""

import os
import subprocess
import sys

import pytest
from helpers import ROOT

CODE = "import os, sys; print(sys.pycache_prefix, 'PYTHONDONTWRITEBYTECODE' in os.environ)"


@pytest.mark.skipif(not (ROOT / ".venv/equildm.json").exists(), reason="start.py made no .venv")
@pytest.mark.parametrize(("variable", "place"), [("1", str(ROOT / ".venv/bytecode")), ("", "None")])
def test_bytecode_is_kept_where_python_writes_none(variable, place):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPYCACHEPREFIX"}
    printed = subprocess.check_output(
        [sys.executable, str(ROOT / "start.py"), "-c", CODE],
        env=environment | {"PYTHONDONTWRITEBYTECODE": variable},
        text=True,
    )
    assert printed.split() == [place, "False"]
