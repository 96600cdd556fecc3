"""The kind of device that a program is compiled for."""

import contextlib
from collections.abc import Iterator

import jax

_target = jax.make_user_context(default_value=None)  # type: ignore[no-untyped-call]


def platform() -> str:
    """`"cpu"`, `"gpu"` or `"tpu"`: the devices that the traced program will run on.

    JAX's default backend, except inside `compiling_for`.
    """
    return _target.value or jax.default_backend()


@contextlib.contextmanager
def compiling_for(platform: str) -> Iterator[None]:
    """Programs traced inside are for `platform`, which need not be available here.

    All that depends on the device (kernels, loops, the default precision) is chosen for it.
    """
    with _target(platform):
        yield
