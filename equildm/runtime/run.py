"""A run is a folder that explains itself.

config.json        the recipe's name and its configuration
environment.json   versions, devices and command line of each launch
metrics.jsonl      one line of numbers a step
tensorboard/       the same for TensorBoard, with previews
samples/           previews
checkpoints/       written by `Checkpoints`
averages/          averages kept for good, where the recipe was asked to

A run at an address, such as `gs://bucket/run`, has the same files there and a local copy, see
`Mirror`.
"""

import dataclasses
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

from ._files import write_json
from ._run_checks import changes_of, check_own, check_writable, clear, is_trained, strangers_in
from .checkpoint import Checkpoints
from .config import from_json, to_json
from .distributed import first_process
from .environment import launches, record_launch
from .format_1 import upgrade_run
from .mirror import Mirror
from .near import near_runs
from .remote import is_address, local_path, RemoteFolder
from .waiting import barrier, on_first_process

FORMAT = 2
"""Version of the folder's layout."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run folder, made by `Run.create` or opened by `Run.open`."""

    path: Path
    """The folder. Of a run at an address, its local copy."""
    recipe: str
    """Name of the recipe that made it."""
    document: dict[str, Any] | None = dataclasses.field(default=None, repr=False, compare=False)
    """What `make` writes to config.json."""
    changes: dict[str, tuple[Any, Any]] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )
    """Options that differ from those of the launch before: names with dots to old and new value.
    `make` records them in environment.json."""
    anew: bool = dataclasses.field(default=False, repr=False, compare=False)
    """Whether `make` first removes what a launch left that ended before its first checkpoint."""
    mirror: Mirror | None = dataclasses.field(default=None, repr=False, compare=False)
    """Of a run at an address: what copies its files to and fro."""

    @classmethod
    def prepare(
        cls,
        path: str | os.PathLike,
        config: Any,
        recipe: str,
        *,
        resume: bool = False,
        may_change: Collection[str] = (),
    ) -> "Run":
        """A run whose folder is not made yet, or with `resume` the one that is there, if any.

        Nothing is written, so that what is refused between here and `make` leaves no folder that
        would stand in the way of the corrected command. Every process calls this.

        **Arguments:**

        - `path`: the folder, or its address as text. From here on no other launch can train a run
            at an address, until this process ends.
        - `config`: a frozen dataclass of plain values and of such dataclasses (see `to_json`).
        - `recipe`: name of the recipe.
        - `resume`: whether an existing run is continued. Its configuration must equal `config`.
        - `may_change`: fields that may differ on resuming, with dots, such as `train.steps`; a
            field that holds a dataclass stands for all of it. The new values are written.

        A run without a checkpoint has nothing to lose: `make` clears its folder and begins anew.

        **Raises** `ValueError` if the folder holds a run that was trained and `resume` is false, if
        it holds something else, or if the configurations differ.
        """
        mirror = Mirror.for_training(os.fspath(path)) if is_address(path) else None
        folder = local_path(path) if mirror is None else mirror.folder
        document = {"format": FORMAT, "recipe": recipe, "config": to_json(config)}
        run = cls(folder, recipe, document, mirror=mirror)
        try:
            goes_on = run._goes_on(resume)
            changes = run._changes(type(config), may_change) if goes_on else {}
            if first_process():
                check_writable(folder)
            anew = not goes_on and (mirror is not None or cls.exists(folder))
        except BaseException:
            if mirror is not None:
                mirror.close()
            raise
        return dataclasses.replace(run, changes=changes, anew=anew)

    def make(self) -> None:
        """Makes the folder that `prepare` checked. Every process calls; the first one writes."""
        if self.document is None:
            raise ValueError(f"Only a run of Run.prepare is made; {self.path} was opened.")
        barrier("run checked")  # no process looks at what the first one writes below
        on_first_process("run written", self._write)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        config: Any,
        recipe: str,
        *,
        resume: bool = False,
        may_change: Collection[str] = (),
    ) -> "Run":
        """`prepare` and `make` in one."""
        run = cls.prepare(path, config, recipe, resume=resume, may_change=may_change)
        run.make()
        return run

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Run":
        """Opens an existing run folder.

        Of one at an address, the files that lie in no folder are copied here first.

        **Arguments:**

        - `path`: the folder, or its address as text.

        **Raises** `ValueError` if it is none, or of another version.
        """
        if not is_address(path):
            return cls(local_path(path), _read(local_path(path))["recipe"])
        mirror = Mirror(os.fspath(path))
        mirror.pull(only_top=True)
        recipe = _read(mirror.folder, mirror.remote.address)["recipe"]
        return cls(mirror.folder, recipe, mirror=mirror)

    @staticmethod
    def exists(path: str | os.PathLike) -> bool:
        """Whether a folder, or what is at an address, is a run."""
        if is_address(path):
            return RemoteFolder(os.fspath(path)).read("config.json") is not None
        return (local_path(path) / "config.json").is_file()

    def push(self) -> None:
        """Copies what is new in a run at an address to there. The first process does it.

        A launch that trains goes on to do so every minute.
        """
        if self.mirror is not None and first_process():
            self.mirror.push()

    def load_config(self, kind: type[T]) -> T:
        """The configuration as the dataclass `kind` it was written from.

        **Raises** `ValueError` naming a field that is missing, unknown or of another type.
        """
        return from_json(kind, self.read_config())

    def read_config(self) -> dict[str, Any]:
        """The configuration as plain JSON."""
        return _read(self.path)["config"]

    def section(self, name: str, kind: type[T]) -> T | None:
        """One section of the configuration, whatever recipe wrote it.

        None where the run has no section of that name, or one of another class than `kind`.
        """
        section = self.read_config().get(name)
        if not isinstance(section, dict) or section.get("class") != kind.__name__:
            return None
        return from_json(kind, section, f"{self.path / 'config.json'}: {name}")

    @property
    def samples(self) -> Path:
        """Folder of the previews."""
        return self.path / "samples"

    @property
    def location(self) -> str:
        """The folder, or the address, as the user gave it."""
        return str(self.path) if self.mirror is None else self.mirror.remote.address

    @property
    def checkpoints(self) -> Path | str:
        """Folder for `Checkpoints`, or its address."""
        return self._beside("checkpoints")

    @property
    def base(self) -> Path | str:
        """Folder for the `Checkpoints` of the weights that are not trained, or its address."""
        return self._beside("base")

    @property
    def averages(self) -> Path | str:
        """Folder for the `Checkpoints` of averages that are kept for good, or its address."""
        return self._beside("averages")

    @property
    def metrics(self) -> Path:
        """The file of `MetricsLog`, JSON lines."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def launch_folder(self) -> Path | None:
        """The folder that the last launch ran in. Relative paths begin there. None if unknown."""
        folder = [{}, *launches(self._environment)][-1].get("folder")
        return None if folder is None else Path(folder)

    @property
    def _environment(self) -> Path:
        return self.path / "environment.json"

    def _beside(self, name: str) -> Path | str:
        return self.path / name if self.mirror is None else f"{self.location}/{name}"

    def _goes_on(self, resume: bool) -> bool:
        """Whether the run is there and goes on. `ValueError` where it can do neither."""
        existing = self.exists(self.path)
        if existing and resume:
            return True
        if existing:
            check_own(self.path, self.location)
        if existing and (is_trained(self.path) or self._has_remote_weights()):
            raise ValueError(
                f"A new run needs a folder of its own, received {self.location} which holds one "
                "that was trained. Pass resume to go on with it, or choose another folder."
            )
        strangers = [] if existing else strangers_in(self.path, copied=self.mirror is not None)
        if not existing and self._has_remote_weights():
            strangers += ["checkpoints"]
        if strangers:
            raise ValueError(
                f"A new run needs an empty folder, received {self.location} which holds "
                f"{strangers[0]!r} and no config.json. Choose another folder."
            )
        return False

    def _has_remote_weights(self) -> bool:
        folders = () if self.mirror is None else (self.checkpoints, self.averages)
        return any(Checkpoints(folder).steps() for folder in folders)

    def _changes(self, kind: type, may_change: Collection[str]) -> dict[str, tuple[Any, Any]]:
        assert self.document is not None
        old = _read(self.path, self.location)
        if old["recipe"] == self.recipe:  # a field added since the run began had its default
            old["config"] = to_json(from_json(kind, old["config"]))
        return changes_of(self.location, old, self.document, may_change)

    def _write(self) -> None:
        if self.anew:
            clear(self.path)
            if self.mirror is not None:
                self.mirror.clear()
        for folder in ("samples", *(() if self.mirror else ("checkpoints",))):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        record_launch(self._environment, FORMAT, self.changes)
        # Last: a folder with a config is a whole run folder.
        write_json(self.path / "config.json", self.document)


def _read(path: Path, location: str | None = None) -> dict[str, Any]:
    file, location = path / "config.json", location or str(path)
    if not file.exists():
        raise ValueError(
            f"A run folder holds a config.json, received {location} which has none."
            f"{near_runs(location) or ' Check the path; a recipe that trains makes such a folder.'}"
        )
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        version = document["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"config.json of a run is JSON with a format version, received {file} which is not "
            f"({error!r}). Restore the file."
        ) from error
    if version == 1:
        return upgrade_run(document, path)
    if version != FORMAT:
        raise ValueError(
            f"This version of equildm reads run folders of format {FORMAT} and 1, received "
            f"{location} of format {version}. Open it with the version named in its "
            "environment.json."
        )
    return document
