"""Runs the public implementations for the `peer` fixture, in the interpreter that has them.

`tests/peers/NAME.py` defines `run(config, arrays)`, from the test's JSON-able dictionary and numpy
arrays to a dictionary of numpy arrays or torch tensors. Only this file and those import torch.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.peers._serve import serve


def run(name: str, folder: str, config: dict[str, Any]) -> dict[str, Any]:
    """Loads `NAME.py`, hands it `folder/in.npz`, and writes what it returns as `folder/out.npz`."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with np.load(Path(folder) / "in.npz") as file:
        arrays = dict(file)
    torch.manual_seed(0)
    outputs = module.run(config, arrays)
    out = {
        key: value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        for key, value in outputs.items()
    }
    np.savez(Path(folder) / "out.npz", **out)
    return {}


if __name__ == "__main__":
    serve(lambda config: {"run": run})
