"""`model.json`: the config of a model, in the same folder as its weights."""

import os

from ..interop.config import read_config
from ..pipeline import ModelConfig
from ..runtime import from_json

MODEL = "model.json"


def read_model_config(folder: str | os.PathLike[str]) -> ModelConfig:
    """Reads a model's config from its folder.

    **Raises** `ValueError` naming the file and the field that is missing or wrong.
    """
    return read_config(
        folder,
        "a model of this library",
        lambda fields: from_json(ModelConfig, fields, "the model"),
        file=MODEL,
    )
