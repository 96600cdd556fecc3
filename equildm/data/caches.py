"""What lies in a folder of caches, and what of it nobody needs any more.

python -m equildm.data.caches runs/cache                # lists
python -m equildm.data.caches runs/cache --remove 30    # removes what was not used for 30 days
"""

import dataclasses
import datetime
import json
import re
import shutil
import time
from pathlib import Path
from typing import Annotated, final, NamedTuple

import tyro

from ..runtime import run_command
from .latents import FORMAT, listed_shards, MANIFEST, manifests
from .store import records_file

_DAY = 86_400.0

_NAME = re.compile(r"[0-9a-f]{32}")
"""Of a data set's folder: what lies beside them under other names is not ours to remove."""
_UNFINISHED = re.compile(rf"\.{_NAME.pattern}\.(part|tmp)")
_STORE = re.compile(rf"(latents|texts)-{_NAME.pattern}")


class CacheEntry(NamedTuple):
    """A data set in a folder of caches.

    **Fields:**

    - `folder`: of the data set.
    - `used`: when a launch last opened it, in seconds since 1970.
    - `shards`: files of latents and embeddings that it needs.
    - `text`: number and shape of its samples.
    """

    folder: Path
    used: float
    shards: frozenset[Path]
    text: str


def list_caches(root: str | Path) -> list[CacheEntry]:
    """The data sets in a folder of caches, the one that was last used first.

    Folders that no cache made are left out, whatever lies in them.

    **Raises** `ValueError` if there is no such folder.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise ValueError(f"Caches lie in a folder; {str(root)!r} is none. Check the path.")
    paths = (path for path in folder.glob(f"[!.]*/{MANIFEST}") if _NAME.fullmatch(path.parent.name))
    entries = [_entry(path.parent) for path in paths]
    return sorted(entries, key=lambda entry: -entry.used)


def _entry(folder: Path) -> CacheEntry:
    manifest = json.loads((folder / MANIFEST).read_text())
    used = folder.stat().st_mtime
    if manifest.get("format") != FORMAT:
        own = frozenset(path for path in folder.rglob("*") if path.is_file())
        return CacheEntry(folder, used, own, "of an earlier version, which is not read")
    shapes = ", ".join("x".join(map(str, part["latent_shape"])) for part in manifests(folder))
    text = f"{manifest['samples']} latents of {shapes}"
    return CacheEntry(folder, used, frozenset(listed_shards(folder)), text)


def remove_caches(root: str | Path, days: float) -> int:
    """Removes data sets that no launch has opened for some days, and the shards that only they use.

    Shards that no data set uses are removed once they are as old: a build that was stopped, and may
    go on, has such ones.

    **Returns:** the number of bytes.
    """
    before, folder = time.time() - days * _DAY, Path(root)
    survivors: set[Path] = set()
    freed = 0
    for entry in list_caches(root):
        if entry.used < before:
            freed += _remove(entry.folder)
        else:
            survivors |= entry.shards
    unfinished = [path for path in folder.iterdir() if _UNFINISHED.fullmatch(path.name)]
    stores = [path for path in folder.iterdir() if _STORE.fullmatch(path.name)]
    for path in [*unfinished, *(file for store in stores for file in store.iterdir())]:
        is_used = path in survivors or records_file(path) in survivors
        if not is_used and path.stat().st_mtime < before:
            freed += _remove(path)
    return freed


def _remove(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    freed = sum(file.stat().st_size for file in files)
    path.unlink() if path.is_file() else shutil.rmtree(path)
    return freed


@final
@dataclasses.dataclass(frozen=True)
class Options:
    """Lists the caches of latents in a folder, or removes old ones."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs/cache")
    """Folder of the caches, as --cache names it."""
    remove: float | None = None
    """Remove what no launch has used for so many days."""

    def __post_init__(self) -> None:
        if self.remove is not None and self.remove < 0:
            raise ValueError(f"Days are at least 0; got --remove {self.remove}.")


def main(options: Options) -> None:
    """Lists, or removes and says how much."""
    if options.remove is not None:
        freed = remove_caches(options.folder, options.remove)
        print(f"Removed {freed / 1e6:.1f} MB from {options.folder}.")
    sizes: dict[Path, int] = {}
    for entry in list_caches(options.folder):
        present = {shard: shard.stat().st_size for shard in entry.shards if shard.exists()}
        sizes |= present
        used = datetime.datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        lost = len(entry.shards) - len(present)
        text = f"{entry.text}, but {lost} of its files are gone: remove it" if lost else entry.text
        size = sum(present.values()) / 1e6
        print(f"{entry.folder.name}  last used {used}  {size:9.1f} MB  {text}")
    print(f"{sum(sizes.values()) / 1e6:.1f} MB in all; data sets share what they have in common.")


if __name__ == "__main__":
    run_command(main, Options, __doc__)
