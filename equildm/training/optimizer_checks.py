"""What an optimiser and its learning rate must be. It needs no jax."""

import math


def check_learning_rate(peak: float, *, warmup: int, steps: int | None, decay: str) -> None:
    """**Raises** `ValueError` for a rate that is not positive, and for a cosine that would end
    before the warm-up does."""
    if not 0 < peak < math.inf:
        raise ValueError(f"A learning rate is positive, received {peak}. The paper's is 1e-4.")
    if decay not in ("constant", "cosine"):
        raise ValueError(
            f"A learning rate's decay is 'constant' or 'cosine', received {decay!r}. The paper's "
            "is constant."
        )
    if warmup < 0:
        raise ValueError(f"A warm-up has 0 steps or more, received {warmup}. Use 0 for none.")
    if decay == "cosine" and (steps is None or steps <= warmup):
        raise ValueError(
            f"A cosine decay ends at `steps`, which must exceed the warm-up of {warmup}, received "
            f"{steps}. Train longer, warm up less or use a constant rate."
        )


def check_decay_and_clip(weight_decay: float, clip: float) -> None:
    """**Raises** `ValueError` for a negative weight decay and a clip that is not positive."""
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"Weight decay is 0 or more, received {weight_decay}. Use 0 for none.")
    if not clip > 0:
        raise ValueError(
            f"Gradients are clipped to a norm above 0, received {clip}. Use inf not to clip."
        )
