"""Moving batches to the device before the training needs them."""

import queue
import threading
import weakref
from collections.abc import Iterator
from typing import final

import jax

from .._types import Batch
from .pipeline import batch_bytes, Batches, READ_AHEAD

_End = tuple[None, BaseException]
_Ready = tuple[Batch, int]


@final
class Prefetch(Iterator[Batch]):
    """Batches on the device, read ahead by a thread.

    `position` is the number of the next batch that `next` returns, however far the thread has read:
    a checkpoint holds it. `close`, the end of a `with` block, and the end of the object stop the
    thread. An error in the data is raised by `next`, in place of its batch.
    """

    def __init__(
        self, source: Batches, sharding: jax.sharding.Sharding | None, depth: int, stored: bool
    ):
        self.position = source.position
        self._ready: queue.Queue[_Ready | _End] = queue.Queue(depth)
        self._stopping = threading.Event()
        thread = threading.Thread(
            target=_fill,
            args=(source, sharding, stored, self._ready, self._stopping),
            name="equildm prefetch",
            daemon=True,
        )
        # The thread must not refer to `self`, which would then live for ever. At exit the finaliser
        # runs before the runtime below the thread ends.
        self._finish = weakref.finalize(self, _stop, thread, self._stopping)
        thread.start()

    def __next__(self) -> Batch:
        if self._stopping.is_set():
            raise StopIteration
        batch, after = self._ready.get()
        if isinstance(after, BaseException):
            self.close()
            raise after
        self.position = after
        return batch

    def __iter__(self) -> "Prefetch":
        return self

    def close(self) -> None:
        """Stops the thread."""
        self._finish()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def prefetch(
    source: Batches,
    sharding: jax.sharding.Sharding | None = None,
    *,
    depth: int = 2,
    stored: bool = False,
) -> Prefetch:
    """`source` with its batches on the device, up to `depth` ahead and up to 1 GiB.

    **Arguments:**

    - `source`: see `batches`.
    - `sharding`: of every array, along the batch; None for the default device. With several
        processes, each supplies its part of the batch and the arrays are global.
    - `depth`: batches on the device beside the one in use; fewer where they would take more than
        1 GiB of this process's devices, but at least one.
    - `stored`: leave float16 as it is, for a step that converts it, as `make_step`'s do.
    """
    if depth < 1:
        raise ValueError(f"Prefetching must be at least 1 batch deep; got depth={depth}.")
    return Prefetch(source, sharding, depth, stored)


def _fill(
    source: Batches,
    sharding: jax.sharding.Sharding | None,
    stored: bool,
    ready: queue.Queue[_Ready | _End],
    stopping: threading.Event,
) -> None:
    item: _Ready | _End
    while not stopping.is_set():
        try:
            batch = source.stored() if stored else next(source)
            ready.maxsize = min(ready.maxsize, max(1, READ_AHEAD // max(1, batch_bytes(batch))))
            item = _move(batch, sharding), source.position
        except BaseException as error:  # every error is raised again by __next__
            item = None, error
        while not stopping.is_set():
            try:
                ready.put(item, timeout=0.1)
                break
            except queue.Full:
                continue
        if isinstance(item[1], BaseException):
            return


def _move(batch: Batch, sharding: jax.sharding.Sharding | None) -> Batch:
    if sharding is not None and jax.process_count() > 1:
        return jax.tree.map(
            lambda part: jax.make_array_from_process_local_data(sharding, part), batch
        )
    return jax.device_put(batch, sharding)


def _stop(thread: threading.Thread, stopping: threading.Event) -> None:
    stopping.set()
    thread.join(timeout=10)
