"""`model.json`: the config of a model, in the same folder as its weights."""

import json
import os
from pathlib import Path

from ..interop.config import read_config
from ..pipeline import ModelConfig
from ..runtime import from_json, to_json, write_atomic

MODEL = "model.json"


def read_model_config(folder: str | os.PathLike[str]) -> ModelConfig:
    """Reads what `write_model_config` wrote.

    **Raises** `ValueError` naming the file and the field that is missing or wrong.
    """
    return read_config(
        folder,
        "a model of this library",
        lambda fields: from_json(ModelConfig, fields, "the model"),
        file=MODEL,
    )


def write_model_config(folder: str | os.PathLike[str], config: ModelConfig) -> None:
    """Writes `model.json`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_atomic(Path(folder) / MODEL, json.dumps(to_json(config), indent=2) + "\n")
