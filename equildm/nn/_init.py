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
from jax.extend.core import get_opaque_trace_state
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Float

from .._types import Key
from ..runtime import partition, put, Rule, shardings

T = TypeVar("T")

_THREEFRY = "threefry2x32"
_place: ContextVar[Callable[[np.ndarray], Array]] = ContextVar("place", default=jax.device_put)


class _Placeholders:
    """What stands for the weights of each shape while only shapes are wanted."""

    def __init__(self) -> None:
        self._trace, self._arrays = get_opaque_trace_state(), dict[tuple[int, ...], Array]()

    def __call__(self, shape: tuple[int, ...]) -> Float[Array, "..."]:
        trace = get_opaque_trace_state()
        if trace != self._trace:  # an array of a vmap or jit inside must not leave it
            self._trace, self._arrays = trace, {}
        if shape not in self._arrays:
            # NaN, so that it cannot pass for a weight where a compiled `build` keeps it.
            self._arrays[shape] = jax.lax.broadcast(np.float32(np.nan), shape)
        return self._arrays[shape]


_for_shapes: ContextVar[_Placeholders | None] = ContextVar("for_shapes", default=None)


def shapes_of(build: Callable[..., T]) -> T:
    """`build(key=key)` with a `jax.ShapeDtypeStruct` in place of each array. Nothing is allocated.

    It is `eqx.filter_eval_shape` in a quarter of the time: no draw of an initial weight is traced.

        shapes = shapes_of(preset("5B").build)
    """
    token = _for_shapes.set(_Placeholders())
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


def split_key(key: Key, count: int = 2) -> tuple[Key, ...]:
    """The keys of `jax.random.split(key, count)`, for the parts of a module.

    `jax.random.split` compiles a program for each `count`, and another that takes its keys apart:
    0.6 s in the first network of a process. But the first of many keys are the same as of few, so
    one program for 64 does. Traced keys, and those of other generators than JAX's default, go to
    `jax.random.split`. Inside `shapes_of`, where no key is used, they are all `key`.
    """
    if _for_shapes.get():
        return (key,) * count
    if _is_threefry(key) and jax.config.jax_threefry_partitionable:
        many = jax.random.key_data(jax.random.split(key, 64 * math.ceil(count / 64)))
        if not isinstance(many, jax.core.Tracer):  # as a concrete key's are inside a `jit`
            rows = np.asarray(many)[:count]
            return tuple(jax.random.wrap_key_data(row, impl=_THREEFRY) for row in rows)
    return tuple(jax.random.split(key, count))


def _is_threefry(key: Key) -> bool:
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and not isinstance(key, jax.core.Tracer)
    return typed and jax.random.key_impl(key) == _THREEFRY


def uniform(key: Key, shape: tuple[int, ...], bound: float) -> Float[Array, "..."]:
    """Draws from the uniform distribution on `[-bound, bound)` in float32.

    With a concrete key the numbers come from numpy's Philox generator, seeded by the key. A network
    of 700 arrays then takes well under a second, where `jax.random` would compile a program for
    each new shape (12 s measured). Under a trace (`eqx.filter_eval_shape`,
    `eqx.filter_jit`) it falls back to `jax.random`: the same distribution, other numbers.
    """
    if placeholder := _for_shapes.get():
        return placeholder(shape)
    if isinstance(key, jax.core.Tracer):
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)
    seed = np.asarray(jax.random.key_data(key)).tolist()
    draw = np.random.Generator(np.random.Philox(seed)).random(shape, np.float32)
    return _place.get()((2.0 * draw - 1.0) * np.float32(bound))


def fan_in_bound(fan_in: int) -> float:
    """`1 / sqrt(fan_in)`: PyTorch's default for convolutions and linear maps, weight and bias."""
    return 1.0 / math.sqrt(fan_in)


def constant(shape: tuple[int, ...], value: float) -> Float[Array, "..."]:
    """A float32 array of one value. numpy creates it, so that no shape compiles."""
    if placeholder := _for_shapes.get():
        return placeholder(shape)
    return _place.get()(np.full(shape, value, np.float32))


def zeros_like(leaf: Array) -> Array:
    """An array of zeros of the same shape and dtype, which compiles nothing either."""
    if isinstance(leaf, jax.core.Tracer):
        return jnp.zeros_like(leaf)
    return placed(np.zeros(leaf.shape, leaf.dtype))
