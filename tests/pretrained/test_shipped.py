"""The model that ships: it opens by its name and knows its emoji."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from equildm.data import open_source
from equildm.denoise import Preconditioned
from equildm.pretrained import load_pretrained, run_step, save_pretrained
from equildm.pretrained.shipped import model_path, SHIPPED
from equildm.text import embed_captions


@pytest.fixture(scope="module")
def model():
    return load_pretrained("emoji")


def test_every_shipped_model_is_small():
    for folder in SHIPPED.values():
        assert sum(file.stat().st_size for file in folder.iterdir()) < 8 * 2**20


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_path("emoji") == SHIPPED["emoji"]
    assert run_step("emoji") is None
    (tmp_path / "emoji").mkdir()
    assert str(model_path("emoji")) == "emoji"
    with pytest.raises(ValueError, match="emoji holds no model"):
        load_pretrained("emoji")


@pytest.mark.slow
def test_the_captions_matter(model):
    """Of the noisy latents of 32 emoji, it predicts the clean ones better with their captions."""
    source = open_source("emoji")
    chosen = range(0, len(source), len(source) // 32)
    captions = [source.caption(i) for i in chosen]
    small = [Image.fromarray(source.image(i)).resize((32, 32)) for i in chosen]
    images = jnp.asarray(np.stack(small) / 127.5 - 1, jnp.float32)
    latents = np.asarray(eqx.filter_jit(jax.vmap(model.vae.encode_scaled))(images))
    level = jnp.float32(2.0)
    noise = np.random.default_rng(0).standard_normal(latents.shape, np.float32)
    noisy = jnp.asarray(latents + 2 * noise)
    denoiser = Preconditioned(model.network, model.schedule, model.prediction)

    @eqx.filter_jit
    def error(text):
        predicted = jax.vmap(lambda y, c: denoiser(y, level, c))(noisy, text)
        return jnp.mean((predicted - latents) ** 2, axis=(1, 2, 3))

    shuffled = captions[1:] + captions[:1]
    texts = [embed_captions(model.text_encoder, each) for each in (captions, shuffled)]
    own, others = (np.asarray(error(text)) for text in texts)
    print(own.mean(), others.mean(), np.mean(latents**2))
    assert own.mean() < 0.2 * np.mean(latents**2)
    assert own.mean() < 0.8 * others.mean()


def test_it_can_be_exported(model, tmp_path):
    save_pretrained(tmp_path / "exported", model, layout="equildm", dtype="bfloat16")
    again = load_pretrained(tmp_path / "exported")
    same = jax.tree.map(
        np.array_equal, *(eqx.filter(m.network, eqx.is_array) for m in (model, again))
    )
    assert all(jax.tree.leaves(same))
