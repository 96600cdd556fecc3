"""What a cache does not encode again, and what two caches share."""

import jax.numpy as jnp
import numpy as np
import pytest

from equildm._types import TextEmbedding
from equildm.data import CachedLatents, segments
from equildm.data.caches import list_caches, main, Options, remove_caches
from equildm.data.segments import shares


class Counted:
    """An encoder that counts what it was given."""

    def __init__(self, encode):
        self.encode, self.count = encode, 0

    def __call__(self, batch):
        self.count += sum(bool(np.any(x)) if isinstance(x, np.ndarray) else x != "" for x in batch)
        return self.encode(batch)


@pytest.fixture
def counted(build, pool, spell):
    """`counted(source, **options)`: the cache, images encoded, captions encoded."""

    def run(source, **options):
        images, captions = Counted(pool), Counted(spell)
        cache = build(source, encode_images=images, encode_captions=captions, **options)
        return cache, images.count, captions.count

    return run


def _equal(first, second):
    assert len(first) == len(second)
    for index in range(len(first)):
        one, other = first[index], second[index]
        assert (one.name, one.caption) == (other.name, other.caption)
        np.testing.assert_array_equal(one.latent, other.latent)
        np.testing.assert_array_equal(one.text.tokens, other.text.tokens)
        np.testing.assert_array_equal(one.text.mask, other.text.mask)


def test_more_images_are_added(make_source, counted):
    _, images, captions = counted(make_source(9))
    assert (images, captions) == (9, 3)
    cache, images, captions = counted(make_source(12, fingerprint="grown"))
    assert (images, captions, len(cache)) == (3, 1, 12)


def test_touched_files_are_read_and_not_decoded_again(tmp_path, counted, make_source):
    from PIL import Image

    from equildm.data import FolderSource

    for sample in make_source(4):
        Image.fromarray(sample.image).save(tmp_path / f"{sample.name}.png")
        (tmp_path / f"{sample.name}.txt").write_text(sample.caption)
    first, images, _ = counted(FolderSource(tmp_path))
    assert images == 4
    for path in tmp_path.glob("*.png"):
        path.touch()
    again, images, captions = counted(FolderSource(tmp_path))
    assert again.folder != first.folder and (images, captions) == (0, 0)
    assert again.fingerprint == first.fingerprint
    _equal(again, first)
    (tmp_path / "image 3.txt").write_text("another caption")
    changed, images, captions = counted(FolderSource(tmp_path))
    assert (images, captions) == (0, 1) and changed.fingerprint != first.fingerprint


def test_encoders_have_stores_of_their_own(make_source, counted):
    counted(make_source(6))
    assert counted(make_source(6), caption_key="other")[1:] == (0, 2)
    assert counted(make_source(6), image_key="other")[1:] == (6, 0)
    assert counted(make_source(6), dtype="float32")[1:] == (6, 0)


def test_mirror_images_are_added(make_source, build, counted):
    source = make_source(5)
    counted(source)
    flipped, images, _ = counted(source, flip=True)
    assert images == 5
    _equal(flipped, build(source, flip=True, folder=flipped.folder.parent.parent / "fresh"))


def test_equal_images_are_encoded_once(make_source, counted):
    source = make_source(8)
    source._images[5] = source._images[2]
    cache, images, _ = counted(source)
    assert images == 7 and len(cache) == 8
    np.testing.assert_array_equal(cache[5].latent, cache[2].latent)


@pytest.mark.parametrize("stop", [3, 7, 8, 14])
def test_goes_on_after_an_error(make_source, build, counted, monkeypatch, tmp_path, stop):
    """An outage ends a build. The next one encodes the rest alone, and gives the same."""
    monkeypatch.setattr(segments, "_FIRST", 4)
    monkeypatch.setattr(segments, "_MOST", 4)
    source = make_source(15, broken={1, 9}, mute={4})
    peace = build(source, folder=tmp_path / "peace")
    image = source.image

    def outage(index):
        if index >= stop:
            raise OSError(5, "Input/output error")
        return image(index)

    source.image = outage
    with pytest.raises(OSError, match="Input/output"):
        counted(source)
    assert not list((tmp_path / "caches").glob("[0-9a-f]*"))
    assert not list((tmp_path / "caches").glob("*/.*.tmp"))
    source.image, source.decoded = image, 0
    cache, images, _ = counted(source)
    whole = stop // 4 * 4
    used = 15 - whole - len([x for x in (1, 4, 9) if x >= whole])
    assert images == used
    _equal(cache, peace)
    assert cache.fingerprint == peace.fingerprint
    for name in ("skipped", "skipped_names", "images", "samples", "captions", "latent_mean"):
        assert cache.manifest[name] == peace.manifest[name]
    assert not list((tmp_path / "caches").glob(".*.part"))


def test_padding_is_not_stored(make_source, build, spell):
    def padded(captions):
        text = spell(captions)
        tokens = jnp.where(text.mask[..., None], text.tokens, 7.0)
        return TextEmbedding(tokens, text.mask)

    cache = build(make_source(6), encode_captions=padded)
    for in_memory in (True, False):
        read = CachedLatents(cache.folder, in_memory=in_memory)
        text = read.gather([5, 0, 5]).text
        expected = spell([f"thing number {n}" for n in (1, 0, 1)])
        np.testing.assert_array_equal(text.tokens, expected.tokens)
        np.testing.assert_array_equal(text.mask, expected.mask)
    assert cache.manifest["text_bytes"] == 2 * len("thing number 0") * 2 * 2


def test_shares():
    ranges = [(0, 5), (8, 9), (12, 20)]
    every = [i for start, stop in ranges for i in range(start, stop)]
    for count in (1, 2, 3, 5, 20):
        parts = shares(ranges, count)
        flat = [[i for start, stop in part for i in range(start, stop)] for part in parts]
        assert [i for part in flat for i in part] == every and len(parts) == count
        assert max(map(len, flat)) - min(map(len, flat)) <= 1


def test_old_caches_are_listed_and_removed(make_source, build, tmp_path, capsys):
    import os

    old = build(make_source(6))
    new = build(make_source(9, fingerprint="grown"))
    root = old.folder.parent
    for path in [old.folder, *root.glob("latents-*/*"), *root.glob("texts-*/*")]:
        os.utime(path, (0, 0))
    assert [entry.folder for entry in list_caches(root)] == [new.folder, old.folder]
    expected = new.gather(range(9)).latents
    assert remove_caches(root, 30.0) > 0
    assert not old.folder.exists()
    # Shards that the other one uses are kept, however old.
    np.testing.assert_array_equal(CachedLatents(new.folder).gather(range(9)).latents, expected)
    capsys.readouterr()
    main(Options(root))
    text = capsys.readouterr().out
    assert f"{new.folder.name}  last used" in text and "9 latents of 4x4x4" in text
    main(Options(root, remove=0.0))
    assert not list(root.glob("[0-9a-f]*")) and not list(root.glob("*/*.arrayrecord"))
    with pytest.raises(ValueError, match="is none"):
        list_caches(tmp_path / "absent")


def test_what_no_cache_made_is_not_removed(make_source, build, tmp_path, capsys):
    root = build(make_source(6)).folder.parent
    others = [root / name for name in ("extension", ".trial.tmp", ".notes.part", "latents-mine")]
    for folder in others:
        folder.mkdir()
        (folder / "manifest.json").write_text('["not ours"]')
        (folder / "work.txt").write_text("days of it")
    earlier = root / ("0123456789abcdef" * 2)
    earlier.mkdir()
    (earlier / "manifest.json").write_text('{"format": 1}')
    (earlier / "latents.arrayrecord").write_bytes(bytes(2_000_000))
    assert {len(entry.folder.name) for entry in list_caches(root)} == {32}
    main(Options(root))
    assert "2.0 MB  of an earlier version" in capsys.readouterr().out
    main(Options(root, remove=0.0))
    assert not list_caches(root) and all((folder / "work.txt").exists() for folder in others)


def test_a_data_set_whose_files_are_gone_is_listed(make_source, build, capsys):
    root = build(make_source(6)).folder.parent
    for file in root.glob("latents-*/*.arrayrecord"):
        file.unlink()
    main(Options(root))
    assert "but 1 of its files are gone: remove it" in capsys.readouterr().out


def test_files_that_are_gone_are_made_again(make_source, build, counted, caplog):
    """Of one shard all others are kept: the images of that one are encoded again."""
    first = build(make_source(6))
    cache = build(make_source(9, fingerprint="grown"))
    other = list(cache.manifest["latents"])[1]
    expected = cache.gather(range(9)).latents
    (cache.folder.parent / other).unlink()
    again, images, captions = counted(make_source(9, fingerprint="grown"))
    assert "lacks files of its own" in caplog.text
    assert (images, captions) == (3, 0) and again.fingerprint == cache.fingerprint
    np.testing.assert_array_equal(again.gather(range(9)).latents, expected)
    assert len(build(make_source(6))) == len(first)
