"""AdamW with warm-up and clipping, and optimisers that take less memory."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from ..runtime._leaves import is_vector
from .optimizer_checks import check_decay_and_clip, check_learning_rate
from .packing import Packed, packed


def learning_rate(
    peak: float,
    *,
    warmup: int,
    steps: int | None = None,
    decay: Literal["constant", "cosine"] = "constant",
) -> optax.Schedule:
    """Linear warm-up to `peak`, then a constant rate as in the paper, or a cosine down to 0.

    In step `n >= 1` of the warm-up the rate is `peak n / warmup`.

    **Arguments:**

    - `peak`: the largest rate.
    - `warmup`: steps until the peak; 0 for none.
    - `steps`: length of the training, where a cosine reaches 0.
    - `decay`: after the warm-up.

    **Raises** `ValueError` for a rate that is not positive, and for a cosine that would end before
    the warm-up does.
    """
    check_learning_rate(peak, warmup=warmup, steps=steps, decay=decay)
    # The first update is step 0 of a schedule, so the peak is its step `warmup - 1`.
    rise = optax.warmup_constant_schedule(peak / max(warmup, 1), peak, max(warmup - 1, 1))
    if decay == "constant":
        return rise
    assert steps is not None  # checked above
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
    """AdamW (Loshchilov & Hutter 2019) after clipping of the gradient.

    **Arguments:**

    - `rate`: learning rate, a number or a schedule.
    - `b1`, `b2`: decays of the first and the second moment.
    - `weight_decay`: acts on matrices and kernels, not on biases and norms.
    - `clip`: largest global norm of the gradient; `inf` for no clipping.
    - `momentum`: dtype of the first moment. The state takes 8 bytes a parameter in float32, and 6
        in bfloat16. The second moment is always float32, because it changes by a thousandth of
        itself and less in a step.

    **Raises** `ValueError` for a negative weight decay and a clip that is not positive.
    """
    check_decay_and_clip(weight_decay, clip)
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
    """Adafactor (Shazeer & Stern 2018) without momentum.

    Of the second moment of a kernel with at least 128 input and 128 output features it keeps the
    means over rows and over columns (algorithm 4), so that the state takes almost no memory. The
    root mean square of an update is at most 1 before the rate is applied (section 6). Each array is
    treated by itself: nothing is packed, and a step takes longer to compile.

    **Arguments:** as of `adamw`.
    """
    check_decay_and_clip(weight_decay, clip)
    return optax.chain(
        optax.clip_by_global_norm(clip),
        optax.scale_by_factored_rms(),
        optax.clip_by_block_rms(1.0),
        optax.add_decayed_weights(
            weight_decay,
            mask=lambda params: jax.tree_util.tree_map_with_path(
                lambda path, x: not is_vector(path, x.ndim), params
            ),
        ),
        optax.scale_by_learning_rate(rate),
    )


def _decays(params: Packed) -> Packed:
    return Packed(True, False, tuple(leaf.ndim > 1 for leaf in params.others))


OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adamw": adamw,
    "adamw-bf16": partial(adamw, momentum="bfloat16"),
    "adafactor": adafactor,
}
"""Optimisers by name. Each takes a rate or a schedule, `weight_decay=` and `clip=`."""
