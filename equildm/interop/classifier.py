"""A trained classifier in one safetensors file, with its classes in the header."""

import json
import os
from functools import partial
from pathlib import Path

from ..features import Classifier
from ..nn import shapes_of
from .config import BROKEN
from .mapping import named_arrays, read_weights, write_weights
from .pairs import Pair
from .safetensors import SafetensorsFile
from .saving import save_safetensors

HEADER = "equildm_classifier"
"""Where the header has the name, the classes and the widths, as JSON."""


def save_classifier(path: str | os.PathLike[str], classifier: Classifier) -> None:
    """Writes weights, name, classes and widths to one file, atomically.

    **Arguments:**

    - `path`: the file; missing folders are made.
    - `classifier`: the network.
    """
    about = {
        "name": classifier.name,
        "classes": classifier.classes,
        "widths": classifier.channels,
    }
    tensors = write_weights(classifier, _table(classifier))
    save_safetensors(path, tensors, metadata={HEADER: json.dumps(about)})


def load_classifier(path: str | os.PathLike[str]) -> Classifier:
    """Reads what `save_classifier` wrote.

    **Raises** `ValueError` naming a file that is missing, cut off or of another network.
    """
    path = Path(path)
    file = SafetensorsFile(path)
    if HEADER not in file.metadata:
        raise ValueError(
            f"{path} must hold a classifier, and its header describes none: it has the entries "
            f"{sorted(file.metadata)}. Give a file of benchmarks/train_classifier.py."
        )
    try:
        about = json.loads(file.metadata[HEADER])
        name, classes, widths = about["name"], about["classes"], about["widths"]
        template = shapes_of(partial(Classifier, name, classes, widths))
    except BROKEN as error:
        raise ValueError(
            f"{path} must describe a classifier in its header, and does not: {error!r}. Train it "
            "again."
        ) from error
    return read_weights(template, _table(template), file, source=path)


def _table(classifier: Classifier) -> list[Pair]:
    """Each array by our own name, in our own layout."""
    return [Pair(name, name) for name in named_arrays(classifier)]
