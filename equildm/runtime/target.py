"""Which kind of device a program is made for."""

import contextlib
from collections.abc import Iterator

import jax

_target = jax.make_user_context(default_value=None)  # type: ignore[no-untyped-call]


def platform() -> str:
    """`"cpu"`, `"gpu"` or `"tpu"`: where what is being traced will run.

    JAX's default backend, unless `compiling_for` says otherwise.
    """
    return _target.value or jax.default_backend()


@contextlib.contextmanager
def compiling_for(platform: str) -> Iterator[None]:
    """Programs traced inside are for `platform`, which need not be here.

    What chooses by the device (kernels, loops, the default precision) chooses as it would there.
    """
    with _target(platform):
        yield
