"""What a compiler reports: its refusals for memory, and the operations of padded heads."""

import jax
import jax.numpy as jnp
import pytest

from equildm.nn import fused_attend
from equildm.plan import DoesNotFit, out_of_memory
from equildm.runtime import count_flops
from equildm.runtime.flops import jaxpr_flops
from equildm.runtime.platform import compiling_for


@pytest.mark.parametrize(
    ("message", "needed", "limit"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total "
            "memory required for HLO temporaries (48.00G) exceeds available HBM (15.75G). HLO "
            "module: jit__lambda.",
            48.0,
            15.75,
        ),
        (
            "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
            "space hbm. Used 25.10G of 15.75G hbm. Exceeds hbm capacity by 9.35G.",
            25.10,
            15.75,
        ),
    ],
)
def test_out_of_memory(message, needed, limit):
    assert out_of_memory(message) == (needed * 2**30, limit * 2**30)
    error = str(DoesNotFit(needed * 2**30, limit * 2**30))
    assert f"{needed - limit:.2f} GiB too much" in error


def test_other_errors_are_not_memory():
    assert out_of_memory("INTERNAL: Mosaic failed to compile TPU kernel") is None


def test_narrow_heads_are_counted_as_the_unit_takes_them():
    shapes = [jax.ShapeDtypeStruct((256, 2, 8), jnp.bfloat16)] * 3
    with compiling_for("tpu"):
        jaxpr = jax.make_jaxpr(lambda *x: fused_attend(*x))(*shapes)
    plain, padded = jaxpr_flops(jaxpr).matmul, jaxpr_flops(jaxpr, lanes=128).matmul
    assert plain == count_flops(lambda *x: fused_attend(*x), *shapes).matmul
    assert padded == 16 * plain  # 8 wide on a unit of 128
