"""A subject: its images, its captions with the rare word, its latents, and images of its class."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from equildm.data import (
    encode_images,
    generated_images,
    LatentBatch,
    PriorBatch,
    ShapesSource,
    Subject,
    SubjectConfig,
    SubjectLatents,
    with_token,
    without_token,
)
from equildm.images import to_unit
from equildm.latents import VAEConfig
from equildm.runtime import Run
from equildm.text import embed, SmallTextEncoder
from equildm.text.tokenizer import TokenBatch
from equildm.training import PriorConfig


def latents(count, seed):
    return LatentBatch(
        np.random.default_rng(seed).normal(size=(count, 2, 2, 3)).astype(np.float32),
        np.arange(count),
    )


def test_pairs_are_all_pairs_once_an_epoch():
    data = SubjectLatents(latents(3, 0), latents(5, 1))
    assert len(data) == 15
    batch = data.gather(np.arange(15))
    assert isinstance(batch, PriorBatch)
    assert {(int(a), int(b)) for a, b in zip(batch.subject.text, batch.prior.text)} == {
        (a, b) for a in range(3) for b in range(5)
    }
    alone = SubjectLatents(latents(3, 0))
    assert isinstance(alone.gather([0, 4]), LatentBatch) and len(alone) == 3 * 64
    with pytest.raises(ValueError, match="at least one"):
        SubjectLatents(latents(0, 0))


def test_a_rare_word_goes_where_it_is_wanted():
    assert with_token("photo of a {} dog", "sks") == "photo of a sks dog"
    assert with_token(" dog  at work", "sks") == "sks dog at work"
    assert without_token("photo of a {} dog") == "photo of a dog"
    assert without_token("{} dog") == without_token("dog") == "dog"


def test_the_class_has_the_captions_of_the_subject():
    subject = Subject(np.zeros((3, 2, 2, 3), np.uint8), ("{} cat", "a {} cat", "{} cat"))
    assert PriorConfig(count=5).captions(subject) == ["cat", "a cat", "cat", "a cat", "cat"]
    prompts = PriorConfig(count=3, prompts=("a {} dog", "bird")).captions(subject)
    assert prompts == ["a dog", "bird", "a dog"]


@pytest.fixture
def folder(tmp_path):
    source = ShapesSource(side=32, count=3)
    for i in range(3):
        Image.fromarray(source.image(i)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    return tmp_path


def test_images_that_cannot_be_read_are_left_out(folder, capsys):
    subject = SubjectConfig(source=str(folder), class_prompt="a {} disc").read(16)
    assert subject.images.shape == (3, 16, 16, 3) and subject.captions == ("a {} disc",) * 3
    assert "Skipped broken.png" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--class-prompt"):
        SubjectConfig(source=str(folder)).read(16)


def test_the_default_subject_is_known_in_unseen_captions():
    subject, unseen = SubjectConfig().read(32), SubjectConfig().unseen(32)
    assert unseen is not None and len(subject.images) == len(unseen.images) == 6
    assert not set(subject.captions) & set(unseen.captions)
    assert SubjectConfig(source="somewhere").unseen(32) is None


@pytest.mark.parametrize("options", [{"token": " "}, {"token": "{}"}, {"class_prompt": "{} "}])
def test_words_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match=r"received --(token|class-prompt)"):
        SubjectConfig(**options)


def test_the_subject_of_a_run_is_read(tmp_path):
    for name, config in (("subject", {"class": "SubjectConfig", "token": "xyz"}), ("data", {})):
        path = tmp_path / name
        path.mkdir()
        document = {"format": 2, "recipe": "mine", "config": {name: config}}
        (path / "config.json").write_text(json.dumps(document))
    assert SubjectConfig.of_run(Run.open(tmp_path / "subject")) == SubjectConfig(token="xyz")
    with pytest.raises(ValueError, match=r"dreambooth\.py, received .*data of mine"):
        SubjectConfig.of_run(Run.open(tmp_path / "data"))


def test_images_become_scaled_latents_with_embeddings_or_ids():
    config = VAEConfig(width=4, multipliers=(1,), depth=1, latent_channels=2, groups=2, scale=0.5)
    vae = config.build(key=jax.random.key(0))
    encoder = SmallTextEncoder(width=4, depth=1, heads=1, max_tokens=4, key=jax.random.key(1))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    captions = ["a disc", "two", ""]
    batch = encode_images(images, captions, vae, encoder, batch_size=2)
    encoded = jax.jit(jax.vmap(lambda image: vae.encode_scaled(to_unit(image))))(images)
    np.testing.assert_allclose(batch.latents, encoded, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(batch.text.tokens, embed(encoder, captions).tokens)
    words = encode_images(images, captions, vae, encoder, batch_size=2, token_ids=True).text
    assert isinstance(words, TokenBatch) and words.ids.shape == (3, 4)


def test_images_are_generated_once(tmp_path):
    calls = []

    def generate(captions):
        calls.append(tuple(captions))
        return np.full((len(captions), 4, 4, 3), 7, np.uint8)

    file, preview = tmp_path / "prior.npz", tmp_path / "prior.png"
    first = generated_images(file, ["a", "b"], generate, preview=preview)
    second = generated_images(file, ["a", "b"], generate, preview=preview)
    np.testing.assert_array_equal(first, second)
    assert calls == [("a", "b")] and preview.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prior.npz", "prior.png"]
