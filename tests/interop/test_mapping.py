"""The table that both directions share."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import ml_dtypes
import numpy as np
import pytest
from helpers import trees_equal

from equildm.interop import (
    conv,
    linear,
    norm,
    OIHW,
    OUT_IN,
    OUT_IN_POINTWISE,
    Pair,
    POINTWISE_OUT_IN,
    read_weights,
    SAME,
    write_weights,
)
from equildm.nn import Conv, LayerNorm, Linear
from equildm.runtime import abstract, make_mesh


class Net(eqx.Module):
    first: Conv
    layers: tuple[Linear, ...]
    norm: LayerNorm

    def __init__(self, *, key):
        self.first = Conv(2, 3, key=key)
        self.layers = (Linear(3, 4, key=key), Linear(4, 5, bias=False, key=key))
        self.norm = LayerNorm(5)


TABLE = [
    *conv("first", "stem.0"),
    *linear("layers.0", "body.0.fc"),
    *linear("layers.1", "body.1.fc", bias=False),
    *norm("norm", "ln"),
]
NET = Net(key=jax.random.key(0))
SHAPES = eqx.filter_eval_shape(lambda: Net(key=jax.random.key(0)))


@pytest.fixture
def theirs():
    return write_weights(NET, TABLE)


def test_layouts(theirs):
    assert {name: a.shape for name, a in theirs.items()} == {
        "stem.0.weight": (3, 2, 3, 3),
        "stem.0.bias": (3,),
        "body.0.fc.weight": (4, 3),
        "body.0.fc.bias": (4,),
        "body.1.fc.weight": (5, 4),
        "ln.weight": (5,),
        "ln.bias": (5,),
    }
    assert theirs["stem.0.weight"][2, 1, 0, 2] == NET.first.weight[0, 2, 1, 2]
    assert theirs["body.0.fc.weight"][3, 1] == NET.layers[0].weight[1, 3]
    assert all(a.flags.c_contiguous for a in theirs.values())


@pytest.mark.parametrize("template", [NET, SHAPES], ids=["arrays", "shapes"])
def test_round_trip(theirs, template):
    template = jax.tree.map(jnp.zeros_like, template) if template is NET else template
    again = read_weights(template, TABLE, theirs)
    assert trees_equal(again, NET)


@pytest.mark.parametrize("transform", [SAME, OUT_IN, OIHW, OUT_IN_POINTWISE, POINTWISE_OUT_IN])
def test_transforms_invert(transform):
    rank = {SAME: 1, OUT_IN: 2, OIHW: 4, OUT_IN_POINTWISE: 2, POINTWISE_OUT_IN: 4}[transform]
    shape = (7, 6, 1, 1)[:rank] if transform is POINTWISE_OUT_IN else (7, 6, 5, 4)[:rank]
    a = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(transform.write(transform.read(a)), a)


def test_pointwise_layers_are_the_same_map():
    """A linear map stored as a 1x1 convolution, and the reverse, still gives the same numbers."""
    a = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)  # (out, in)
    x = np.ones((2, 2, 3), np.float32)
    layer = eqx.tree_at(
        lambda c: c.weight,
        Conv(3, 4, 1, bias=False, key=jax.random.key(0)),
        jnp.asarray(OUT_IN_POINTWISE.read(a)),
    )
    np.testing.assert_allclose(layer(jnp.asarray(x)), x @ a.T, rtol=1e-5)
    np.testing.assert_array_equal(POINTWISE_OUT_IN.read(a[:, :, None, None]), a.T)


def test_each_tensor_is_read_once(theirs, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # checking reads one too

    reads = []

    class Counting(dict):
        def __getitem__(self, name):
            reads.append(name)
            return super().__getitem__(name)

    read_weights(SHAPES, TABLE, Counting(theirs))
    assert sorted(reads) == sorted(theirs)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_floats_take_the_templates_dtype(theirs, dtype):
    net = read_weights(SHAPES, TABLE, {name: a.astype(dtype) for name, a in theirs.items()})
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(net))
    np.testing.assert_allclose(net.first.weight, NET.first.weight, rtol=1e-2)


def test_errors_name_the_tensor(theirs):
    def read(changes, drop=(), **options):
        tensors = {k: v for k, v in (dict(theirs) | changes).items() if k not in drop}
        return read_weights(SHAPES, TABLE, tensors, source="file.safetensors", **options)

    with pytest.raises(ValueError, match=r"file\.safetensors .*missing 'ln\.bias'; not exp.* none"):
        read({}, drop=["ln.bias"])
    extra = {"pooler.dense.weight": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=r"missing none; not expected 'pooler\.dense\.weight'"):
        read(extra)
    assert read(extra, ignored=["pooler.*"]) is not None
    turned = {"body.0.fc.weight": theirs["body.0.fc.weight"].T}
    with pytest.raises(
        ValueError, match=r"'body\.0\.fc\.weight' must have shape \(4, 3\) .* received \(3, 4\)"
    ):
        read(turned)
    with pytest.raises(ValueError, match=r"'ln\.bias' holds int64"):
        read({"ln.bias": np.zeros(5, np.int64)})


def test_a_table_must_cover_the_module(theirs):
    with pytest.raises(ValueError, match=r"without a pair 'norm\.bias', 'norm\.weight'"):
        read_weights(SHAPES, TABLE[:-2], theirs)
    with pytest.raises(ValueError, match=r"pairs without an array 'norm\.gain'"):
        write_weights(NET, [*TABLE[:-1], Pair("norm.gain", "ln.bias")])
    with pytest.raises(ValueError, match="pairs 8, arrays 7"):
        write_weights(NET, [*TABLE, TABLE[0]])


def test_one_of_their_tensors_may_hold_several_of_ours():
    table = [
        *(Pair(f"{i}.weight", "qkv.weight", OUT_IN, part=i, parts=3) for i in range(3)),
        *(Pair(f"{i}.bias", "qkv.bias", part=i, parts=3) for i in (2, 0, 1)),
    ]
    layers = tuple(Linear(2, 4, key=jax.random.key(i)) for i in range(3))
    theirs = dict(write_weights(layers, table))
    np.testing.assert_array_equal(
        theirs["qkv.weight"], np.concatenate([layer.weight.T for layer in layers])
    )
    np.testing.assert_array_equal(
        theirs["qkv.bias"], np.concatenate([layer.bias for layer in layers])
    )
    assert trees_equal(read_weights(layers, table, theirs), layers)
    with pytest.raises(ValueError, match=r"'qkv.bias' must have shape \(12,\)"):
        read_weights(layers, table, theirs | {"qkv.bias": np.zeros(4, np.float32)})


def test_dtypes_are_kept_or_chosen(theirs):
    mixed = dict(theirs) | {"ln.weight": np.ones(5, np.float16)}
    stored = read_weights(SHAPES, TABLE, mixed, dtype="stored")
    assert stored.norm.weight.dtype == jnp.float16 and stored.norm.bias.dtype == jnp.float32
    assert {k: v.dtype for k, v in write_weights(stored, TABLE).items()} == {
        k: v.dtype for k, v in mixed.items()
    }
    chosen = read_weights(SHAPES, TABLE, theirs, dtype=jnp.bfloat16)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(chosen)} == {"bfloat16"}
    halves = write_weights(NET, TABLE, dtype="float16")
    assert all(halves[name].dtype == halves.specs[name].dtype == np.float16 for name in halves)


def test_mapped_arrays_are_views(theirs):
    theirs = dict(theirs)
    mapped = read_weights(SHAPES, TABLE, theirs, dtype="mapped")
    for array in jax.tree.leaves(mapped):
        assert isinstance(array, np.ndarray)
        assert sum(np.shares_memory(array, tensor) for tensor in theirs.values()) == 1
    assert trees_equal(mapped, eqx.filter(NET, eqx.is_array))
    for name, tensor in write_weights(mapped, TABLE).items():
        assert np.shares_memory(tensor, theirs[name])  # as it came, without a copy
    with pytest.raises(ValueError, match="a mesh takes them"):
        template = abstract(SHAPES, make_mesh(devices=jax.devices()[:1]))
        read_weights(template, TABLE, theirs, dtype="mapped")


def test_arrays_arrive_where_the_template_says(theirs):
    mesh = make_mesh(devices=jax.devices()[:1])
    net = read_weights(abstract(SHAPES, mesh), TABLE, theirs)
    assert all(leaf.sharding.mesh == mesh for leaf in jax.tree.leaves(net))
    assert trees_equal(net, eqx.filter(NET, eqx.is_array))
