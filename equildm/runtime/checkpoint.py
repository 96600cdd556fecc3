"""Checkpoints of a training state: written in the background, completely or not at all.

Orbax writes each piece (model, EMA, optimiser) as an item of its own under `folder/<step>/`, in a
temporary folder that is renamed when it is complete. What a killed process leaves behind is
ignored. A piece is stored as its array leaves by path, so that a reader needs the shapes and no
pickled class, and can place them on any mesh of any number of processes. One more item is JSON: the
format version, the shape and dtype of every leaf, and the caller's `meta`.

At an address such as `s3://bucket/run/checkpoints` they have the same layout: `RemoteCheckpoints`.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from ._leaves import named
from ._orbax_log import quieten_orbax
from ._packing import pack, restore_targets, unpack
from ._record import check_format, check_match, checked, make_record
from .distributed import first_process
from .remote import is_address, local_path
from .remote_checkpoints import RemoteCheckpoints

# Orbax takes most of a second to import, so it is imported where it is first needed.

_JSON = "meta"
_DATA = (jax.Array, np.ndarray)
_SHAPES = (*_DATA, jax.ShapeDtypeStruct)


class Restored(NamedTuple):
    """What `Checkpoints.restore` returns.

    **Fields:**

    - `step`: the step of the checkpoint.
    - `items`: the requested pieces by name, with the shapes and shardings of their `like`.
    - `meta`: the `meta` that was passed to `save`.
    """

    step: int
    items: dict[str, PyTree]
    meta: dict[str, Any]


def newest_fact(name: str, *folders: str | os.PathLike) -> Any:
    """What the newest checkpoint of the first of these folders that has it says under a name.

    None where no checkpoint says it.
    """
    for checkpoints in map(Checkpoints, folders):
        if checkpoints.latest() is not None and name in (meta := checkpoints.restore({}).meta):
            return meta[name]
    return None


class Checkpoints:
    """The checkpoints in one folder. Every process takes part in every call.

    Use it as a context manager, or call `close`. Both wait for the last save.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        keep: int | None = 3,
        every: int = 1000,
        before_complete: Callable[[], None] | None = None,
    ):
        """**Arguments:**

        - `folder`: created by the first save. An address (`gs://...`, `s3://...`) works as well.
        - `keep`: number of the newest checkpoints that stay; `None` for all.
        - `every`: interval, in steps, at which a checkpoint is `due`.
        - `before_complete`: called on the first process before a checkpoint at an address counts
            as complete, with whatever must be there by then. Not called for a local folder.
        """
        if every < 1 or (keep is not None and keep < 1):
            raise ValueError(
                f"`every` and `keep` are at least 1, received every={every}, keep={keep}. "
                "To keep all checkpoints pass keep=None."
            )
        folder = os.fspath(folder)
        self._remote = RemoteCheckpoints(folder, keep) if is_address(folder) else None
        self.folder = folder if self._remote else os.path.abspath(local_path(folder))
        self.keep = keep
        self.every = every
        self._before_complete = before_complete or (lambda: None)
        self._manager: Any = None

    def due(self, step: int) -> bool:
        """Whether `step` is one at which to save: a positive multiple of `every`."""
        return step > 0 and step % self.every == 0

    def steps(self) -> list[int]:
        """The steps of all complete checkpoints on disk, increasing."""
        if self._remote is not None:
            return self._remote.steps()
        if not os.path.isdir(self.folder):
            return []
        import orbax.checkpoint as ocp

        # A process killed while it removed an old checkpoint may leave a part of it.
        folders = ocp.utils.checkpoint_steps_paths(self.folder)
        return sorted(int(f.name) for f in folders if (f / "_CHECKPOINT_METADATA").exists())

    def latest(self) -> int | None:
        """The newest complete checkpoint's step, `None` where there is none."""
        return max(self.steps(), default=None)

    def save(self, step: int, items: Mapping[str, PyTree], meta: Mapping[str, Any]) -> bool:
        """Starts to save, and returns when the arrays have been copied off the devices.

        The arrays may then be donated to the next step. A save in progress is completed first.

        **Arguments:**

        - `step`: number of steps that are done. Must not be below the newest one on disk.
        - `items`: pytrees of arrays by name, such as `model`, `ema`, `optimizer`. Filter modules
            with `eqx.filter(module, eqx.is_array)`.
        - `meta`: plain JSON: the position in the data, and all else that a resumed run needs.

        **Returns** whether a save was started: `False` if this step is on disk already.

        **Raises** `ValueError` for a leaf that is no array, before anything is written; and the
        error of the previous save, if that one failed.
        """
        leaves = {name: checked(name, named(tree), _DATA) for name, tree in items.items()}
        if _JSON in leaves:
            raise ValueError(f"Items have any name but {_JSON!r}, received one. Rename it.")
        manager = self._opened()
        if self._remote is not None and not self._remote.direct:
            self._remote.wait()
        latest = manager.latest_step() if self._remote is None else self.latest()
        if latest == step:
            return False
        if latest is not None and step < latest:
            raise ValueError(
                f"Checkpoints are written in increasing steps: received step {step} while step "
                f"{latest} is in {self.folder}. Move the later ones away, or use a new run folder."
            )
        import orbax.checkpoint as ocp

        packed = {name: pack(item) for name, item in leaves.items()}
        record = make_record({name: table for name, (_, table) in packed.items()}, meta)
        # Orbax refuses an item without leaves (a stateless optimiser's); the record remembers it.
        args: dict[str, Any] = {
            name: ocp.args.StandardSave(stored) for name, (stored, _) in packed.items() if stored
        }
        args[_JSON] = ocp.args.JsonSave(record)
        if self._remote is not None and self._remote.direct and first_process():
            self._before_complete()
        manager.save(step, args=ocp.args.Composite(**args), force=True)
        if self._remote is not None and not self._remote.direct:
            self._remote.copy(step, manager.wait_until_finished, self._before_complete)
        return True

    def restore(self, like: Mapping[str, PyTree], step: int | None = None) -> Restored:
        """Reads some or all items of a checkpoint straight onto the devices that `like` names.

        **Arguments:**

        - `like`: for each requested item, its pytree with arrays or `jax.ShapeDtypeStruct`s as
            leaves, whose shardings the result takes (see `abstract`). A `ShapeDtypeStruct`
            without a sharding goes to the first local device; a numpy array stays numpy. Without
            any item only `meta` is read.
        - `step`: step of the checkpoint; the newest by default.

        **Raises** `ValueError` if there is no such checkpoint, if it has another format version, if
        a leaf of an item differs in path, shape or dtype from that of `like`, and naming the
        checkpoint where its files cannot be read.
        """
        import orbax.checkpoint as ocp

        self.wait()
        step = self._existing(step)
        path = f"{self.folder}/{step}"
        if self._remote is not None and not self._remote.direct:
            path = str(self._remote.fetch(step, (_JSON, *like)))
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            with _named(path):
                json_only = ocp.args.Composite(meta=ocp.args.JsonRestore())
                record = reader.restore(path, json_only)[_JSON]
            check_format(record, path)
            requested = {name: checked(name, named(tree), _SHAPES) for name, tree in like.items()}
            tables = {name: table for name, table in record["leaves"].items() if name in requested}
            for name, leaves in requested.items():
                check_match(record["leaves"], name, leaves, path)
            args = {
                name: ocp.args.StandardRestore(restore_targets(leaves, tables[name]))
                for name, leaves in requested.items()
                if leaves
            }
            with _named(path):
                read = reader.restore(path, ocp.args.Composite(**args)) if args else {}
        items = {}
        for name, tree in like.items():
            leaves = requested[name]
            values = unpack(leaves, tables[name], read[name]) if leaves else []
            items[name] = jax.tree.unflatten(jax.tree.structure(tree), values)
        return Restored(step, items, record["meta"])

    def wait(self) -> None:
        """Returns when the last save is complete. **Raises** its error if it failed."""
        if self._manager is not None:
            self._manager.wait_until_finished()
        if self._remote is not None:
            self._remote.wait()

    def close(self) -> None:
        """Waits for the last save and frees Orbax's threads."""
        if self._manager is not None:
            self.wait()
            manager, self._manager = self._manager, None
            manager.close()
            if self._remote is not None:
                self._remote.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _opened(self) -> Any:
        # Only a writer opens Orbax's manager, because that removes what a killed save left behind:
        # a reader beside a running training must not do so.
        if self._manager is None:
            import orbax.checkpoint as ocp

            quieten_orbax()
            folder, keep = self.folder, self.keep
            if self._remote is not None:
                self._remote.prepare()
                if not self._remote.direct:
                    folder, keep = str(self._remote.saved), 1
            options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
            self._manager = ocp.CheckpointManager(folder, options=options)
        return self._manager

    def _existing(self, step: int | None) -> int:
        steps = self.steps()
        if not steps:
            raise ValueError(
                f"Restoring needs a complete checkpoint, received {self.folder} which has none. "
                "Check the path, or train until the first one is saved."
            )
        if step is not None and step not in steps:
            raise ValueError(
                f"Step {step} has no complete checkpoint in {self.folder}; there are {steps}. "
                "Choose one of these."
            )
        return steps[-1] if step is None else step


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Names the checkpoint in what Orbax and TensorStore say of files that they cannot read."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        what = " ".join(str(error).split(" [tensorstore_spec")[0].split())
        raise ValueError(
            f"A checkpoint's files must be as they were saved, received {path}, which cannot be "
            f"read: {what[:300]}. Copy it anew; or move it away, and the one before it counts."
        ) from error
