"""The state from which a run goes on."""

from collections.abc import Mapping
from typing import Any

import jax

from ..runtime import broadcast_from_first, Checkpoints
from .state import TrainState

NO_FACTS: Mapping[str, Any] = {}


def resume(
    state: TrainState, checkpoints: Checkpoints, facts: Mapping[str, Any] = NO_FACTS
) -> tuple[TrainState, int]:
    """The state and the data position of the newest checkpoint.

    Without a checkpoint this is `state` itself and position 0. A checkpoint whose step is not later
    than that of `state` belongs to an earlier model of the same run: then `state` is returned with
    the checkpoint's position, so that the data goes on.

    **Arguments:**

    - `state`: a state of the same shapes. The result has its shardings; the checkpoint may come
        from another mesh and another number of processes. Its buffers are freed first, so that
        memory holds one state.
    - `checkpoints`: of the run.
    - `facts`: those of `fit`, for this launch.

    **Raises** `ValueError` for other data, or other averages, than those that the run began with.
    """
    latest = broadcast_from_first(checkpoints.latest())
    if latest is None:
        return state, 0
    meta = checkpoints.restore({}, latest).meta
    data, names = facts.get("data", ""), facts.get("averages", [])
    before = meta.get("averages", names)
    if before != names:
        raise ValueError(
            f"A run keeps the averages that it began with, received {', '.join(names)} for "
            f"{checkpoints.folder}, where step {latest} has {', '.join(before)}. Use the same "
            "--ema, or begin a new run."
        )
    begun = str(meta.get("data", data))
    # One without a colon may be of files, as it was before: of contents it says nothing.
    comparable = (":" in begun) == (":" in data)
    if data and begun != data and comparable:
        raise ValueError(
            f"A run goes on with the data that it began with, received others for the checkpoint "
            f"of step {latest} in {checkpoints.folder}: the images, captions or encoders changed. "
            "Give these data back, or begin a new run."
        )
    if latest <= int(state.step):
        return state, int(meta["position"])
    pieces = state.pieces()
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), pieces
    )
    for leaf in jax.tree.leaves(pieces):
        leaf.delete()  # the restored state takes their memory
    restored = checkpoints.restore(like, latest)
    return state.with_pieces(restored.items), int(restored.meta["position"])
