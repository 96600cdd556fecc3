"""The cache of latents: what is in it, what makes a new one, and what an interruption leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.data import CachedLatents, Crop, segments
from equildm.images import to_unit


def _text(spell, caption):
    text = spell([caption])
    return np.asarray(text.tokens[0]), np.asarray(text.mask[0])


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_holds_what_the_encoders_gave(make_source, build, pool, spell, in_memory, dtype):
    source = make_source(11, side=24)
    cache = CachedLatents(build(source, dtype=dtype).folder, in_memory=in_memory)
    assert len(cache) == 11
    assert cache.latent_shape == (4, 4, 4)
    tolerance = 1e-3 if dtype == "float16" else 1e-7
    images = np.stack([to_unit(Crop(16)(sample.image)) for sample in source])
    expected = pool(images)
    for index, sample in enumerate(source):
        cached = cache[index]
        assert (cached.name, cached.caption) == (sample.name, sample.caption)
        np.testing.assert_allclose(cached.latent, expected[index], atol=tolerance)
        tokens, mask = _text(spell, sample.caption)
        np.testing.assert_array_equal(cached.text.tokens, tokens)
        np.testing.assert_array_equal(cached.text.mask, mask)
    batch = cache.gather([7, 0, 7, 10])
    assert isinstance(batch.latents, np.ndarray) and batch.latents.dtype == np.float32
    assert batch.text.tokens.dtype == np.float32 and batch.text.mask.dtype == bool
    np.testing.assert_allclose(batch.latents, expected[[7, 0, 7, 10]], atol=tolerance)
    for row, index in enumerate([7, 0, 7, 10]):
        np.testing.assert_array_equal(
            batch.text.tokens[row], _text(spell, source[index].caption)[0]
        )
    # Statistics are those of the latents before rounding.
    flat = expected.reshape(-1, 4).astype(np.float64)
    np.testing.assert_allclose(cache.latent_mean, flat.mean(0), atol=1e-6)
    np.testing.assert_allclose(cache.latent_std, flat.std(0), atol=1e-6)
    np.testing.assert_array_equal(cache.null_text.tokens, _text(spell, "")[0])
    assert not cache.null_text.mask.any() and cache.null_text.tokens.dtype == np.float32
    moved = jax.device_put(batch)
    assert isinstance(moved.text.tokens, jax.Array) and moved.latents.shape == (4, 4, 4, 4)


def test_encodes_in_one_shape_and_each_caption_once(make_source, build, spell):
    compiled, images, captions = [], [], []

    @jax.jit
    def encode(batch):
        compiled.append(batch.shape)
        return jnp.asarray(batch[:, ::4, ::4])

    def encode_images(batch):
        images.append(batch.shape)
        return encode(batch)

    def encode_captions(batch):
        captions.append(list(batch))
        return spell(batch)

    build(make_source(10, broken={3}), encode_images=encode_images, encode_captions=encode_captions)
    assert compiled == [(4, 16, 16, 3)]
    assert images == [(4, 16, 16, 3)] * 3  # 9 usable images
    assert {len(batch) for batch in captions} == {4}
    every = [caption for batch in captions for caption in batch if caption]
    assert sorted(every) == [f"thing number {number}" for number in range(4)]


def test_second_run_encodes_nothing(make_source, build):
    first = build(make_source(6))

    def fail(batch):
        raise AssertionError("encoded again")

    source = make_source(6)
    second = build(source, encode_images=fail, encode_captions=fail)
    assert source.decoded == 0
    assert second.folder == first.folder
    np.testing.assert_array_equal(second.gather(range(6)).latents, first.gather(range(6)).latents)


def test_any_change_of_the_key_makes_another(make_source, build):
    folders = [
        build(source, **options).folder
        for source, options in [
            (make_source(6), {}),
            (make_source(6, fingerprint="other"), {}),
            (make_source(6), {"size": 8}),
            (make_source(6), {"flip": True}),
            (make_source(6), {"dtype": "float32"}),
            (make_source(6), {"image_key": "pool 2"}),
            (make_source(6), {"image_key": "spell", "caption_key": "pool"}),
        ]
    ]
    assert len(set(folders)) == len(folders)
    assert build(make_source(6), batch=3).folder == folders[0]  # how it is computed, not what


def test_mirrored(make_source, build, pool):
    source = make_source(3)
    cache = build(source, flip=True)
    assert len(cache) == 6 and cache.manifest["images"] == 3
    for index, sample in enumerate(source):
        image = to_unit(sample.image)[None]
        np.testing.assert_allclose(cache[2 * index].latent, pool(image)[0], atol=1e-3)
        np.testing.assert_allclose(cache[2 * index + 1].latent, pool(image)[0][:, ::-1], atol=1e-3)
        assert cache[2 * index + 1].name == f"{sample.name} mirrored"
        assert cache[2 * index + 1].caption == sample.caption


def test_skips_are_counted_and_named(make_source, build, caplog):
    cache = build(make_source(12, broken={0, 5}, mute={6, 11}))
    assert len(cache) == 8
    assert cache.manifest["skipped"] == {"broken image": 2, "missing caption": 2}
    assert cache.manifest["skipped_names"]["missing caption"] == ["image 6", "image 11"]
    assert [cache[index].name for index in range(8)] == [
        f"image {index}" for index in (1, 2, 3, 4, 7, 8, 9, 10)
    ]
    assert "skipped 4 of 12 samples" in caplog.text
    assert cache.manifest["captions"] == 1 + 4
    assert cache.captions[0] == ""


def test_progress(make_source, build):
    seen = []
    build(make_source(9, broken={8}), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 9) for done in range(1, 10)]


def test_several_shards(make_source, build, monkeypatch):
    monkeypatch.setattr(segments, "_FIRST", 4)
    monkeypatch.setattr(segments, "_MOST", 4)
    source = make_source(20)
    cache = build(source)
    assert len(cache.manifest["latents"]) > 3
    expected = cache.gather(range(20)).latents
    on_disk = CachedLatents(cache.folder, in_memory=False)
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(on_disk.gather(order).latents, expected[order])
