"""Adapters merged into a model: the same network as with the layers wrapped."""

import jax
import numpy as np
import pytest
from helpers import called
from model_folders import ONE_LEVEL

from equildm import TextEmbedding
from equildm.interop import clip_table, load_minilm, save_lora, unet_table
from equildm.nn import new_lora, with_lora_layers
from equildm.pretrained import apply_lora, stable_diffusion

TABLES = {"unet": unet_table(ONE_LEVEL), "text_encoder": clip_table(2)}


@pytest.fixture(scope="module")
def adapters(model):
    """Random ones of the attention layers of both parts."""
    parts = {"unet": model.network, "text_encoder": model.text_encoder.tower}
    fresh = {name: new_lora(part, 2, key=jax.random.key(3)) for name, part in parts.items()}
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf) + np.float32(0.05)), fresh)


@pytest.fixture
def file(adapters, tmp_path):
    save_lora(tmp_path / "lora.safetensors", adapters, TABLES)
    return tmp_path / "lora.safetensors"


def outputs(network, tower):
    random = np.random.default_rng(1)
    tokens, noisy = (random.standard_normal(size, np.float32) for size in ((5, 64), (8, 8, 4)))
    text = TextEmbedding(*jax.device_put((tokens, np.ones(5, bool))))
    ids = np.arange(6, dtype=np.int32)
    return jax.device_get((called(network, noisy, np.float32(400), text), called(tower, ids)))


def test_both_parts(model, adapters, file):
    adapted = apply_lora(model, file)
    ours = outputs(adapted.network, adapted.text_encoder.tower)
    parts = {"unet": model.network, "text_encoder": model.text_encoder.tower}
    wrapped = [with_lora_layers(parts[name], adapters[name]) for name in parts]
    plain = outputs(*parts.values())
    for merged, expected, before in zip(ours, outputs(*wrapped), plain, strict=True):
        np.testing.assert_allclose(merged, expected, atol=2e-4)
        assert np.abs(merged - before).max() > 0.01
    for leaf, before in zip(
        jax.tree.leaves(apply_lora(model, file, 0.0).network),
        jax.tree.leaves(model.network),
        strict=True,
    ):
        np.testing.assert_array_equal(leaf, before)


def test_adapters_of_another_model_are_named(model, adapters, file):
    parts = model.network, model.config.network, model.vae, load_minilm()
    without_clip = stable_diffusion(*parts, model.config.scheduler)
    with pytest.raises(ValueError, match=r"lora\.safetensors: 'text_encoder.* in no table"):
        apply_lora(without_clip, file)
    save_lora(file, {"unet": adapters["unet"]}, TABLES)
    assert apply_lora(without_clip, file).text_encoder is without_clip.text_encoder
