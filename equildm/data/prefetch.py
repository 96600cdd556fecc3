"""Moving batches to the device before they are asked for."""

import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Any, final

import jax

from .pipeline import Batches

_End = tuple[None, BaseException]
_Ready = tuple[Any, int]


@final
class Prefetch(Iterator[Any]):
    """Batches on the device, made ahead by a thread.

    `position` is the number of the next batch that will be *given*, whatever the thread has read
    already: what a checkpoint holds. `close` (or leaving a `with` block) ends the thread; so does
    dropping the object. An error in the data reaches the consumer where the batch would have come.
    """

    def __init__(self, source: Batches, sharding: jax.sharding.Sharding | None, depth: int):
        self.position = source.position
        self._ready: queue.Queue[_Ready | _End] = queue.Queue(depth)
        self._stopping = threading.Event()
        thread = threading.Thread(
            target=_fill,
            args=(source, sharding, self._ready, self._stopping),
            name="equildm prefetch",
            daemon=True,
        )
        # The thread must not hold `self`, or it would never be dropped. At exit the finaliser runs
        # before the runtime below the thread is torn down.
        self._finish = weakref.finalize(self, _stop, thread, self._stopping)
        thread.start()

    def __next__(self) -> Any:
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
        self._finish()

    def __enter__(self) -> "Prefetch":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def prefetch(
    source: Batches, sharding: jax.sharding.Sharding | None = None, *, depth: int = 2
) -> Prefetch:
    """`source` with its batches on the device, up to `depth` ahead.

    **Arguments:**

    - `source`: what `batches` gave.
    - `sharding`: of every array, along the batch; None for the default device. With several
        processes, each gives its part of the batch and the arrays are global.
    - `depth`: batches held on the device beside the one in use.
    """
    if depth < 1:
        raise ValueError(f"Prefetching must be at least 1 batch deep; got depth={depth}.")
    return Prefetch(source, sharding, depth)


def _fill(
    source: Batches,
    sharding: jax.sharding.Sharding | None,
    ready: queue.Queue[_Ready | _End],
    stopping: threading.Event,
) -> None:
    item: _Ready | _End
    while not stopping.is_set():
        try:
            item = _move(next(source), sharding), source.position
        except BaseException as error:  # whatever it is, the consumer must hear of it
            item = None, error
        while not stopping.is_set():
            try:
                ready.put(item, timeout=0.1)
                break
            except queue.Full:
                continue
        if isinstance(item[1], BaseException):
            return


def _move(batch: Any, sharding: jax.sharding.Sharding | None) -> Any:
    if sharding is not None and jax.process_count() > 1:
        return jax.tree.map(
            lambda part: jax.make_array_from_process_local_data(sharding, part), batch
        )
    return jax.device_put(batch, sharding)


def _stop(thread: threading.Thread, stopping: threading.Event) -> None:
    stopping.set()
    thread.join(timeout=10)
