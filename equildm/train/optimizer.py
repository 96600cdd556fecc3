"""AdamW with warm-up and clipping, and what takes less memory than it."""

from typing import Literal

import jax
import jax.numpy as jnp
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
    if decay not in ("constant", "cosine"):
        raise ValueError(f"A learning rate's decay is 'constant' or 'cosine', received {decay!r}.")
    if warmup < 0:
        raise ValueError(f"A warm-up has 0 steps or more, received {warmup}. Use 0 for none.")
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
    momentum: Literal["float32", "bfloat16"] = "float32",
) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) after clipping the gradient's global norm to `clip`.

    Decay acts on matrices and kernels only, not on biases and norms. `momentum` is the dtype that
    the first moment is kept in: 8 bytes of state a parameter, or 6. The second is float32 always,
    for its changes are a thousandth of it and less.
    """
    _check(weight_decay, clip)
    if momentum not in ("float32", "bfloat16"):
        raise ValueError(f"Momentum is 'float32' or 'bfloat16', received {momentum!r}.")
    return packed(
        optax.chain(
            optax.clip_by_global_norm(clip),
            optax.adamw(
                rate,
                b1=b1,
                b2=b2,
                weight_decay=weight_decay,
                mask=_decays,
                mu_dtype=None if momentum == "float32" else jnp.bfloat16,
            ),
        )
    )


def adafactor(
    rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.01,
    clip: float = 1.0,
) -> optax.GradientTransformation:
    """Adafactor (Shazeer & Stern 2018) without momentum, with rate and decay as in `adamw`.

    Of a kernel with at least 128 features in and out it keeps the second moment's means over each
    (algorithm 4): next to nothing a parameter. An update's root mean square is at most 1 before
    the rate (section 6). Each array is treated by itself, so that nothing is packed and a step
    takes longer to compile.
    """
    _check(weight_decay, clip)
    return optax.chain(
        optax.clip_by_global_norm(clip),
        optax.scale_by_factored_rms(),
        optax.clip_by_block_rms(1.0),
        optax.add_decayed_weights(
            weight_decay, mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params)
        ),
        optax.scale_by_learning_rate(rate),
    )


def _check(weight_decay: float, clip: float) -> None:
    if weight_decay < 0:
        raise ValueError(f"Weight decay is 0 or more, received {weight_decay}. Use 0 for none.")
    if not clip > 0:
        raise ValueError(
            f"Gradients are clipped to a norm above 0, received {clip}. Use inf not to clip."
        )


def _decays(params: Packed) -> Packed:
    return Packed(True, False, tuple(leaf.ndim > 1 for leaf in params.others))
