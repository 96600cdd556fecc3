"""AdamW with warm-up and clipping."""

from typing import Literal

import optax

from .packing import Packed, packed


def learning_rate(
    peak: float,
    *,
    warmup: int,
    steps: int | None = None,
    decay: Literal["constant", "cosine"] = "constant",
) -> optax.Schedule:
    """Linear warm-up to `peak`, then constant as in the paper, or a cosine down to 0 at `steps`."""
    if peak <= 0:
        raise ValueError(f"A learning rate is positive, received {peak}. The paper's is 1e-4.")
    rise = optax.linear_schedule(peak / max(warmup, 1), peak, max(warmup - 1, 1))
    if decay == "constant":
        return rise
    if steps is None or steps <= warmup:
        raise ValueError(
            f"A cosine decay ends at `steps`, which must exceed the warm-up of {warmup}, received "
            f"{steps}. Train longer, warm up less or use a constant rate."
        )
    fall = optax.cosine_decay_schedule(peak, steps - warmup)
    return optax.join_schedules([rise, fall], [warmup])


def adamw(
    rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    weight_decay: float = 0.01,
    clip: float = 1.0,
) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) after clipping the gradient's global norm to `clip`.

    Decay acts on matrices and kernels only, not on biases and norms.
    """
    return packed(
        optax.chain(
            optax.clip_by_global_norm(clip),
            optax.adamw(rate, b1=b1, b2=b2, weight_decay=weight_decay, mask=_decays),
        )
    )


def _decays(params: Packed) -> Packed:
    return Packed(True, False, tuple(leaf.ndim > 1 for leaf in params.others))
