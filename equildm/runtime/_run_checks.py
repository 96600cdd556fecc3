"""What a run folder is checked for before a launch goes on with it, or makes it."""

import json
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .locks import Locks

_LEFT = (
    *("samples", "checkpoints", "averages", "tensorboard", "base", "vae", "text_encoder"),
    *("tokenizer", "model.json", "metrics.jsonl", "environment.json", "config.json"),
    *("timing.jsonl", "wandb", "wandb.json"),
)


def changes_of(
    location: str, old: dict, new: dict, may_change: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """What differs. `ValueError` for something else than what may change."""
    if old["recipe"] != new["recipe"]:
        raise ValueError(
            f"A run goes on with the recipe that began it, received {new['recipe']!r} for "
            f"{location} of {old['recipe']!r}. Choose another folder."
        )
    before, now = _flat(old["config"]), _flat(new["config"])
    changes = {
        name: (before.get(name), now.get(name))
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    }
    for name in changes:
        parts = name.split(".")
        prefixes = {".".join(parts[: i + 1]) for i in range(len(parts))}
        if not prefixes & set(may_change):
            raise ValueError(
                f"A run goes on with the configuration that began it: {name} is "
                f"{before.get(name)!r} in {location}/config.json, received {now.get(name)!r}. "
                "Leave the option as it was, or start a new run."
            )
    return changes


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by names with dots."""
    values = {}
    for name, value in config.items():
        inside = _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        values.update({prefix + name: value} if inside is None else inside)
    return values


def check_writable(path: Path) -> None:
    """`ValueError` where no folder can be made, or the one that is there takes no files."""
    place = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    try:
        tempfile.TemporaryDirectory(prefix=".equildm-", dir=place).cleanup()
    except OSError as error:
        raise ValueError(
            f"A run needs a folder that can be written, received {path}: {place} takes no files "
            f"({error.strerror}). Choose another folder."
        ) from error


def strangers_in(path: Path, *, copied: bool = False) -> list[str]:
    """What lies in the folder and is not of a launch that was killed while making it.

    **Arguments:**

    - `copied`: whether the folder is the copy of one at an address, where config.json comes last.
    """
    ours = {"samples", "checkpoints", "environment.json", *(_LEFT if copied else ())}
    if not path.exists():
        return []
    if not path.is_dir():
        return [path.name]
    strangers = [p for p in path.iterdir() if not (p.name in ours or p.name.endswith(".tmp"))]
    inside = [p for name in ("samples", "checkpoints") for p in (path / name).glob("*")]
    inside = [] if copied else inside
    return sorted(p.name for p in (*strangers, *inside))


def check_own(path: Path, location: str) -> None:
    """`ValueError` where `config.json` is one that no run wrote: `clear` would take its folder."""
    try:
        document = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        document = None
    if not isinstance(document, dict) or not {"format", "recipe", "config"} <= document.keys():
        raise ValueError(
            f"A new run needs an empty folder, received {location} whose config.json is of "
            "something else than a run. Choose another folder."
        )


def is_trained(path: Path) -> bool:
    """Whether a run folder has something to lose: weights, or a launch that is training now.

    A VAE is whole when its quality is written: then its checkpoints may be gone.
    """
    weights = (any((path / name).glob("[0-9]*")) for name in ("checkpoints", "averages"))
    if (path / "quality.json").exists() or any(weights):
        return True
    if not (path / "locks").exists():
        return False
    with Locks(path / "locks") as locks:
        return locks.others() > 0


def clear(path: Path) -> None:
    """Removes what a launch left that ended before its first checkpoint."""
    for name in _LEFT:
        target = path / name
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
