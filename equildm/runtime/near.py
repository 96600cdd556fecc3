"""Names that may have been meant, for messages about a path that is not there."""

import difflib
import os
from pathlib import Path

from .remote import is_address


def near_runs(path: str | os.PathLike[str]) -> str:
    """` Did you mean runs/emoji?`, of the run folders beside a path; empty where none is alike."""
    if is_address(path):
        return ""
    folder = Path(path)
    try:
        names = [file.parent.name for file in folder.absolute().parent.glob("*/config.json")]
    except OSError:
        return ""
    near = difflib.get_close_matches(folder.name, names, 2, cutoff=0.5)
    meant = " or ".join(str(folder.with_name(name)) for name in near)
    return f" Did you mean {meant}?" if near else ""
