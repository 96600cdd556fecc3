"""Counting floating-point operations and parameters without running anything.

`count_flops` traces a function on abstract shapes and adds up `2 x` the multiply-accumulates of
every matrix product and convolution in the jaxpr: loops times their length, a branch at its most
expensive. XLA's own `cost_analysis` counts a loop's body once, and adds elementwise work.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr  # type: ignore[attr-defined]
from jaxtyping import PyTree

from ._leaves import arrays, is_array


@dataclasses.dataclass(frozen=True)
class Flops:
    """Operations of one call, a multiply and an add counting as two.

    **Fields:**

    - `matmul`: of matrix products.
    - `conv`: of convolutions.
    - `elementwise`: one for each element that is added, multiplied, compared or summed.
    """

    matmul: int = 0
    conv: int = 0
    elementwise: int = 0

    @property
    def total(self) -> int:
        """Operations of products and convolutions, the usual count."""
        return self.matmul + self.conv

    def __add__(self, other: "Flops") -> "Flops":
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Flops(*(a + b for a, b in zip(mine, theirs, strict=True)))

    def __mul__(self, times: int) -> "Flops":
        return Flops(*(count * times for count in dataclasses.astuple(self)))


def count_flops(
    fn: Callable[..., PyTree], *args: PyTree, padded_taps: bool = True, loops_once: bool = False
) -> Flops:
    """Counts the operations of `fn(*args)` from its jaxpr. Nothing is computed or allocated.

    **Arguments:**

    - `fn`: any traceable function, also a gradient or an optimiser step.
    - `args`: pytrees (modules, too) of arrays or of `jax.ShapeDtypeStruct`s.
    - `padded_taps`: whether the taps of a convolution that fall on the border's zeros count, as in
        the usual `output size x kernel size`. XLA leaves them out: `False` gives its count.
        Zeros between the pixels of a dilated input are never counted.
    - `loops_once`: whether a scan counts as one turn of its body, as XLA counts it.

    **Raises** `ValueError` for a `while_loop` around matrix products, whose length is unknown.
    (`fori_loop` with static bounds is a scan, and is counted.)
    """
    traced, dynamic = _on_arrays(fn, args)
    return _Counter(padded_taps, loops_once).jaxpr(jax.make_jaxpr(traced)(dynamic))


def jaxpr_flops(jaxpr: ClosedJaxpr | Jaxpr, *, lanes: int = 1) -> Flops:
    """As `count_flops`, of a program that is traced already.

    A loop of unknown length, such as a sampler's, counts as one turn. With `lanes`, products inside
    Pallas kernels count with every side rounded up to a multiple of it: the work of a matrix unit
    of that width.
    """
    return _Counter(True, False, lanes, while_once=True).jaxpr(jaxpr)


def xla_flops(fn: Callable[..., PyTree], *args: PyTree) -> float:
    """XLA's own count for `fn(*args)` compiled for the default device.

    It leaves out padded taps and library calls (fused attention on a GPU), adds elementwise
    operations, and counts a loop's body once.

    **Raises** `ValueError` for a device of which XLA reports no operations.
    """
    traced, dynamic = _on_arrays(fn, args)
    analysis = jax.jit(traced).lower(dynamic).compile().cost_analysis()
    if analysis is None or "flops" not in analysis:
        raise ValueError(
            "XLA reports the operations of a compiled function on CPU, GPU and TPU devices, but "
            f"not for {jax.devices()[0].device_kind!r}. Use count_flops."
        )
    return float(analysis["flops"])


def count_parameters(tree: PyTree) -> int:
    """Number of trained values: the sizes of all floating-point leaves, abstract or not."""
    leaves = jax.tree.leaves(arrays(tree))
    return sum(math.prod(x.shape) for x in leaves if jax.numpy.issubdtype(x.dtype, np.inexact))


def _on_arrays(fn: Callable, args: tuple) -> tuple[Callable, Any]:
    """`fn` as a function of its array leaves alone, from and to arrays."""
    dynamic, static = eqx.partition(args, is_array)

    def traced(dynamic):
        return eqx.filter(fn(*eqx.combine(dynamic, static)), eqx.is_array)

    return traced, dynamic


# What XLA counts as an operation an element; exponentials and the like it counts apart.
_ELEMENTWISE = frozenset(
    ["add", "sub", "mul", "div", "neg", "max", "min", "abs", "sign", "square", "integer_pow"]
    + ["select_n", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "clamp", "add_any"]
)
_REDUCTIONS = frozenset({"reduce_sum", "reduce_max", "reduce_min", "reduce_prod"})


class _Counter:
    """Walks a jaxpr. A jaxpr that is called many times is walked once."""

    def __init__(
        self, padded_taps: bool, loops_once: bool, lanes: int = 1, while_once: bool = False
    ):
        self.padded_taps = padded_taps
        self.loops_once = loops_once
        self.lanes = lanes
        self.while_once = while_once
        self.in_kernel = False
        self.seen: dict[int, tuple[Any, Flops]] = {}

    def jaxpr(self, jaxpr: Any) -> Flops:
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)  # a ClosedJaxpr holds one
        if id(jaxpr) not in self.seen:
            # Storing the jaxpr beside its count keeps its id from being reused.
            self.seen[id(jaxpr)] = jaxpr, sum(map(self.equation, jaxpr.eqns), Flops())
        return self.seen[id(jaxpr)][1]

    def equation(self, eqn: Any) -> Flops:
        name = eqn.primitive.name
        rule = getattr(self, f"_{name}", None)
        if rule is not None:
            return rule(eqn)
        if name in _ELEMENTWISE or name in _REDUCTIONS:
            counted = eqn.invars if name in _REDUCTIONS else eqn.outvars
            return Flops(elementwise=math.prod(counted[0].aval.shape))
        # jit, remat, custom_jvp_call, custom_vjp_call, custom_vmap_call, closed_call, ...
        return sum(map(self.jaxpr, _inner(eqn.params)), Flops())

    def _dot_general(self, eqn: Any) -> Flops:
        (contracted, _), _ = eqn.params["dimension_numbers"]
        sides = [eqn.invars[0].aval.shape[axis] for axis in contracted]
        sides += eqn.outvars[0].aval.shape
        lanes = self.lanes if self.in_kernel else 1
        return Flops(matmul=2 * math.prod(-(-side // lanes) * lanes for side in sides))

    def _conv_general_dilated(self, eqn: Any) -> Flops:
        image, kernel = (v.aval.shape for v in eqn.invars)
        out = eqn.outvars[0].aval.shape
        params = eqn.params
        numbers = params["dimension_numbers"]
        # A grouped kernel's input axis is already that of one group.
        depth = kernel[numbers.rhs_spec[1]]
        taps = [
            _taps(
                image[numbers.lhs_spec[2 + i]],
                kernel[numbers.rhs_spec[2 + i]],
                out[numbers.out_spec[2 + i]],
                params["window_strides"][i],
                params["padding"][i][0],
                params["lhs_dilation"][i],
                params["rhs_dilation"][i],
                self.padded_taps,
            )
            for i in range(len(out) - 2)
        ]
        batch_and_features = out[numbers.out_spec[0]] * out[numbers.out_spec[1]]
        return Flops(conv=2 * batch_and_features * depth * math.prod(taps))

    def _scan(self, eqn: Any) -> Flops:
        return self.jaxpr(eqn.params["jaxpr"]) * (1 if self.loops_once else eqn.params["length"])

    def _cond(self, eqn: Any) -> Flops:
        return max(map(self.jaxpr, eqn.params["branches"]), key=lambda flops: flops.total)

    def _while(self, eqn: Any) -> Flops:
        once = self.jaxpr(eqn.params["body_jaxpr"]) + self.jaxpr(eqn.params["cond_jaxpr"])
        if once.total and not self.while_once:
            raise ValueError(
                "count_flops needs loops of known length, but received a while_loop whose body "
                f"takes {once.total} operations each time. Use lax.scan, or lax.fori_loop with "
                "static bounds, or count the body by itself."
            )
        return once

    def _shard_map(self, eqn: Any) -> Flops:
        # The inner shapes are those of one device; the axes that split them multiply.
        names = eqn.params.get("newly_manual_axes", eqn.params.get("manual_axes"))
        devices = math.prod(eqn.params["mesh"].shape[name] for name in names)
        return self.jaxpr(eqn.params["jaxpr"]) * devices

    def _pallas_call(self, eqn: Any) -> Flops:
        self.in_kernel = True
        once = self.jaxpr(eqn.params["jaxpr"])
        self.in_kernel = False
        return once * math.prod(eqn.params["grid_mapping"].grid)

    def _dot_product_attention_fwd_wrapper(self, eqn: Any) -> Flops:
        return _fused_attention(eqn, products=2)

    def _dot_product_attention_bwd_wrapper(self, eqn: Any) -> Flops:
        return _fused_attention(eqn, products=5)  # the scores again, dq, dk, dv, dp


def _fused_attention(eqn: Any, products: int) -> Flops:
    """cuDNN's kernel, opaque in the jaxpr: `products` of queries x keys x head width each."""
    query, key = (v.aval.shape for v in eqn.invars[:2])
    # Layout 0 is (batch, tokens, heads, width); 1 is (batch, heads, tokens, width).
    keys = key[1 + int(eqn.params["layout"])]
    return Flops(matmul=2 * products * math.prod(query) * keys)


def _taps(size, kernel, out, stride, pad, lhs_dilation, rhs_dilation, padded) -> int:
    """Pairs of an output position and a tap that meet a pixel (or, `padded`, its border)."""
    position = np.arange(out)[:, None] * stride + np.arange(kernel)[None, :] * rhs_dilation - pad
    counted = position % lhs_dilation == 0
    if not padded:
        counted &= (position >= 0) & (position <= (size - 1) * lhs_dilation)
    return int(counted.sum())


def _inner(params: dict[str, Any]) -> list[Any]:
    """The jaxprs among an equation's parameters."""
    values = [v for value in params.values() for v in _as_tuple(value)]
    return [v for v in values if hasattr(getattr(v, "jaxpr", v), "eqns")]


def _as_tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, tuple | list) else (value,)
