"""LoRA files without a network of theirs: every kind of layer, every fault."""

import json

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from equildm.interop import Pair, read_lora, save_lora, save_safetensors
from equildm.interop.pairs import OIHW, OUT_IN, OUT_IN_POINTWISE, POINTWISE_OUT_IN
from equildm.nn import Conv, Linear, with_lora_layers

FILE = "pytorch_lora_weights.safetensors"
TABLE = [
    Pair("flat.weight", "a.flat.weight", OUT_IN),
    Pair("flat.bias", "a.flat.bias"),
    Pair("square.weight", "a.square.weight", OIHW),
    Pair("point.weight", "a.point.weight", OUT_IN_POINTWISE),
    Pair("product.weight", "a.product.weight", POINTWISE_OUT_IN),
    Pair("third.weight", "a.fused.weight", OUT_IN, 0, 3),
    Pair("norm.weight", "a.norm.weight"),
]


def factors(name, down=(2, 6), up=(5, 2), **more):
    tensors = {f"unet.a.{name}.lora_A.weight": down, f"unet.a.{name}.lora_B.weight": up}
    zeros = {key: np.zeros(shape, np.float32) for key, shape in tensors.items()}
    return zeros | {key.replace("_", "."): value for key, value in more.items()}


def test_every_kind_of_layer():
    table, random = {"unet": TABLE}, np.random.default_rng(0)
    shapes = {
        "flat": ((2, 6), (5, 2)),
        "square": ((2, 6, 3, 3), (5, 2, 1, 1)),
        "point": ((2, 6), (5, 2)),
        "product": ((2, 6, 1, 1), (5, 2, 1, 1)),
    }
    tensors = {}
    for name, (down, up) in shapes.items():
        tensors |= {k: random.normal(size=v.shape) for k, v in factors(name, down, up).items()}
    adapters = read_lora(tensors, table)["unet"]
    networks = {
        "flat": Linear(6, 5, key=jax.random.key(0)),
        "square": Conv(6, 5, key=jax.random.key(0)),
        "point": Conv(6, 5, 1, key=jax.random.key(0)),
        "product": Linear(6, 5, key=jax.random.key(0)),
    }
    x = jnp.asarray(random.normal(size=(4, 4, 6)), jnp.float32)
    for name, layer in with_lora_layers(networks, adapters).items():
        down, up = (tensors[f"unet.a.{name}.lora_{side}.weight"] for side in "AB")
        kernel = np.tensordot(up.reshape(5, 2), down, 1).reshape(5, 6, -1)
        if name != "square":
            expected = networks[name](x) + np.float32(x @ kernel[..., 0].T)
            np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)
        difference = np.moveaxis(np.asarray(layer.weight - networks[name].weight), (-1, -2), (0, 1))
        np.testing.assert_allclose(difference.reshape(5, 6, -1), kernel, rtol=1e-4, atol=1e-5)


HALF = {"unet.a.flat.lora_A.weight": np.zeros((2, 6), np.float32)}


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        (factors("flat", **{"unet.a.flat.hada_w1_a": np.ones(2)}), "hada.w1.a' is no tensor of a"),
        ({"lora_unet_a_flat.lokr_w1": np.ones(2)}, "lokr_w1' is no tensor of a LoRA"),
        ({"lora_unet_a_flat.dora_scale": np.ones(2)}, "dora_scale' is no tensor of a LoRA"),
        ({"lora_unet_a_square.lora_mid.weight": np.ones(2)}, "lora_mid.weight' is no tensor"),
        ({"unet.a.flat.lora_B.bias": np.ones(5)}, "lora_B.bias' is no tensor"),
        ({"unet.a.flat.weight": np.ones((5, 6))}, "'unet.a.flat.weight' is no tensor of a LoRA"),
        ({"text_encoder_2.a.flat.lora_A.weight": np.ones(2)}, "'text_encoder_2.* no table"),
        ({"lora_te2_a_flat.lora_down.weight": np.ones(2)}, "'lora_te2_a.* no table"),
        ({"text_encoder.a.flat.lora_A.weight": np.ones(2)}, "'text_encoder.a.* tables of unet;"),
        (factors("b"), "'unet.a.b.lora_A.weight' belongs to a layer that is in no table"),
        (factors("norm"), "'unet.a.norm.lora_A.weight' belongs to a layer that is in no table"),
        (factors("fused"), "'unet.a.fused.lora_A.weight' belongs to a layer that is in no table"),
        (HALF, "'unet.a.flat.lora_A.weight' is there without its up factor"),
        ({"unet.a.flat.alpha": np.ones(())}, "'unet.a.flat.alpha' is there without its down"),
        (
            factors("flat") | {"a.flat.lora.down.weight": HALF},
            "'a.flat.lora.down.weight' and 'unet",
        ),
        (factors("flat", up=(5, 3)), r"lora_A.weight' has rank 2, and '.*' of shape \(5, 3\)"),
        (
            factors("square", (2, 6, 3, 3), (5, 2, 3, 3)),
            r"rank 2, and '.*' of shape \(5, 2, 3, 3\)",
        ),
        (factors("flat", (2, 6, 1, 1)), r"lora_A.weight' of shape \(2, 6, 1, 1\)"),
        (factors("square"), r"lora_A.weight' of shape \(2, 6\)"),
        (factors("point", (2, 6, 1, 1)), r"lora_A.weight' of shape \(2, 6, 1, 1\)"),
        (factors("product", (2, 6, 3, 3)), r"lora_A.weight' of shape \(2, 6, 3, 3\)"),
        (factors("flat", (0, 6), (5, 0)), r"lora_A.weight' of shape \(0, 6\)"),
        (factors("flat") | {"unet.a.flat.lora_A.weight": np.ones((2, 6), int)}, "type int"),
        (factors("flat") | {"unet.a.flat.alpha": np.ones(3)}, r"alpha' must be one number.*\(3,\)"),
    ],
)
def test_what_cannot_be_read_is_named(tensors, why):
    with pytest.raises(ValueError, match=why):
        read_lora(tensors, {"unet": TABLE})


def test_a_file_without_tensors_is_no_lora():
    with pytest.raises(ValueError, match="for layers of its model, received none"):
        read_lora({}, {"unet": TABLE})


def test_what_cannot_be_applied_or_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    adapters = read_lora(factors("flat"), {"unet": TABLE})
    with pytest.raises(ValueError, match=r"'flat' is for a weight of shape \(6, 5\).*\(6, 4\)"):
        with_lora_layers({"flat": Linear(6, 4, key=jax.random.key(0))}, adapters["unet"])
    with pytest.raises(ValueError, match="table of 'unet' has no layer 'flat'"):
        save_lora(tmp_path / FILE, adapters, {"unet": TABLE[2:]})
    with pytest.raises(ValueError, match="'peft' or 'kohya', received 'loha'"):
        save_lora(tmp_path / FILE, adapters, {"unet": TABLE}, layout="loha")
    with pytest.raises(ValueError, match=r"received tables of \['vae'\]"):
        read_lora(factors("flat"), {"vae": TABLE})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "adapter_config.json must describe a LoRA"),
        ("[1]", "adapter_config.json must describe a LoRA"),
        ('{"lora_alpha": "many"}', "no valid alpha for 'a.flat'"),
        ('{"lora_alpha": null}', "no valid alpha for 'a.flat'"),
        ('{"lora_alpha": 1, "alpha_pattern": [2]}', "no valid alpha for 'a.flat'"),
        ('{"lora_alpha": 1, "alpha_pattern": {"(": 2}}', "no valid alpha for 'a.flat'"),
        ('{"lora_alpha": 1, "init_lora_weights": "olora"}', "which changed those. Convert them"),
        ('{"lora_alpha": 1, "init_lora_weights": "pissa_niter_4"}', "which changed those"),
    ],
)
def test_a_configuration_that_makes_no_sense(tmp_path, text, why):
    with pytest.raises(ValueError, match="holds neither"):
        read_lora(tmp_path, {"unet": TABLE})
    save_safetensors(tmp_path / "adapter_model.safetensors", factors("flat"))
    assert read_lora(tmp_path, {"unet": TABLE})["unet"]["flat"].alpha == 2.0
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ValueError, match=why):
        read_lora(tmp_path, {"unet": TABLE})


def test_peft_sets_apart_layers_by_pattern(tmp_path):
    config = {"lora_alpha": 8, "alpha_pattern": {"square": 3, "a.flat": 5}, "use_rslora": True}
    both = factors("flat") | factors("lat")
    table = [*TABLE, Pair("lat.weight", "a.lat.weight", OUT_IN)]
    save_safetensors(tmp_path / "adapter_model.safetensors", both)
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    adapters = read_lora(tmp_path, {"unet": table})["unet"]
    assert adapters["flat"].alpha == pytest.approx(5 * 2**0.5)
    assert adapters["lat"].alpha == pytest.approx(8 * 2**0.5)


def test_no_name_ends_in_another_error():
    """Names cut, doubled or swapped at random: read, or refused."""
    random = np.random.default_rng(0)
    pieces = ["unet", ".", "_", "lora", "lora_A", "lora_B", "a", "flat", "weight", "alpha", "down"]
    refused = 0
    for _ in range(500):
        chosen = random.integers(0, len(pieces), random.integers(1, 12))
        name = "".join(pieces[i] for i in chosen)
        try:
            read_lora(factors("flat") | {name: np.ones((5, 2))}, {"unet": TABLE})
        except ValueError:
            refused += 1
    assert refused > 400
