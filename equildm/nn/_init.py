"""Initial weights, drawn straight into shards and without a compiled program for each shape."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float

from .._types import Key
from ..runtime import partition, put, Rule, shardings

T = TypeVar("T")

_place: ContextVar[Callable[[np.ndarray], Array]] = ContextVar("place", default=jax.device_put)
_for_shapes: ContextVar[bool] = ContextVar("for_shapes", default=False)


def shapes_of(build: Callable[..., T]) -> T:
    """`build(key=key)` with a `jax.ShapeDtypeStruct` in place of each array. Nothing is allocated.

    It is `eqx.filter_eval_shape` in half the time: initial weights are not traced.

        shapes = shapes_of(preset("5B").build)
    """
    token = _for_shapes.set(True)
    try:
        return eqx.filter_eval_shape(lambda: build(key=jax.random.key(0)))
    finally:
        _for_shapes.reset(token)


def initialised(build: Callable[[], T], mesh: Mesh, rule: Rule = partition) -> T:
    """`build()` with its arrays in their shards from the beginning.

    Each array is drawn on the host, one after the other, and put straight into its shards. So no
    device ever holds more than `rule` assigns to it, and the host no more than one array. The
    numbers are those of `build()` alone. With several processes every one must call this.

        network = initialised(lambda: preset("5B").build(key=key), make_mesh("fsdp=16"))
    """
    if mesh.size == 1:
        return build()

    def place(drawn: np.ndarray) -> Array:
        # A constructor does not know the path of its array; `put` below corrects the place.
        return put(drawn, NamedSharding(mesh, rule("", drawn.shape, mesh.shape)))

    token = _place.set(place)
    try:
        model = build()
    finally:
        _place.reset(token)
    return put(model, shardings(model, mesh, rule))


@contextmanager
def on_host() -> Iterator[None]:
    """Arrays that are drawn inside stay in the host's memory, where there is a backend for it."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names others only
        device = None
    token = _place.set(jax.device_put)
    try:
        with jax.default_device(device):
            yield
    finally:
        _place.reset(token)


def placed(drawn: np.ndarray) -> Array:
    """An array of the host where the context, such as `initialised`, wants it."""
    return _place.get()(drawn)


def uniform(key: Key, shape: tuple[int, ...], bound: float) -> Float[Array, "..."]:
    """Draws from the uniform distribution on `[-bound, bound)` in float32.

    With a concrete key the numbers come from numpy's Philox generator, seeded by the key. A network
    of 700 arrays then takes well under a second, where `jax.random` would compile a program for
    each new shape (12 s measured). Under a trace (`eqx.filter_eval_shape`,
    `eqx.filter_jit`) it falls back to `jax.random`: the same distribution, other numbers.
    """
    if _for_shapes.get():
        return _not_drawn(shape)
    if isinstance(key, jax.core.Tracer):
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)
    seed = np.asarray(jax.random.key_data(key)).tolist()
    draw = np.random.Generator(np.random.Philox(seed)).random(shape, np.float32)
    return _place.get()((2.0 * draw - 1.0) * np.float32(bound))


def _not_drawn(shape: tuple[int, ...]) -> Float[Array, "..."]:
    # NaN, so that it cannot pass for a weight where a compiled `build` keeps it.
    return jax.lax.broadcast(np.float32(np.nan), shape)


def fan_in_bound(fan_in: int) -> float:
    """`1 / sqrt(fan_in)`: PyTorch's default for convolutions and linear maps, weight and bias."""
    return 1.0 / math.sqrt(fan_in)


def constant(shape: tuple[int, ...], value: float) -> Float[Array, "..."]:
    """A float32 array of one value. numpy creates it, so that no shape compiles."""
    if _for_shapes.get():
        return _not_drawn(shape)
    return _place.get()(np.full(shape, value, np.float32))
