"""What the cache says of unfit encoders, unusable data and damaged folders."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.data import CachedLatents


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "at least 1 pixel; got 0"),
        ({"batch": 0}, "at least 1; got 0"),
        ({"encode_images": lambda x: x[:2]}, r"must give \(4, height, width, channels\)"),
        ({"encode_images": lambda x: x[:, 0]}, r"it gave \(4, 16, 3\)"),
        ({"encode_images": lambda x: x * np.nan}, "finite in float16"),
        ({"encode_images": lambda x: x * 1e6}, "finite in float16; the largest .* 1000000"),
    ],
)
def test_bad_input(make_source, build, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        build(make_source(6), **options)
    assert list(tmp_path.glob("caches/[!.t]*")) == []  # but for the store of texts
    assert list(tmp_path.glob("caches/*/.*.tmp")) == []


def test_bad_captions(make_source, build, spell):
    with pytest.raises(ValueError, match="must give tokens"):
        build(make_source(6), encode_captions=lambda captions: spell(captions[:2]))
    with pytest.raises(ValueError, match="that of 'thing number 1' is not"):
        build(
            make_source(6),
            encode_captions=lambda captions: jax.tree.map(
                lambda leaf: jnp.where(
                    jnp.array([c == "thing number 1" for c in captions])[:, None, None]
                    if leaf.ndim == 3
                    else False,
                    jnp.nan if leaf.ndim == 3 else False,
                    leaf,
                ),
                spell(captions),
            ),
        )


def test_nothing_usable(make_source, build, tmp_path):
    with pytest.raises(ValueError, match=r"none is \(3 x broken image\)"):
        build(make_source(3, broken=range(3)))
    assert not list(tmp_path.glob("caches/[!.t]*")) and not list(tmp_path.glob("caches/.*.part"))
    with pytest.raises(ValueError, match="is empty"):
        build(make_source(0))


def test_damaged(make_source, build, tmp_path):
    cache = build(make_source(6))
    with pytest.raises(ValueError, match=r"manifest.json; .* does not"):
        CachedLatents(tmp_path)
    manifest = json.loads((cache.folder / "manifest.json").read_text())
    (cache.folder / "manifest.json").write_text(json.dumps(manifest | {"format": 0}))
    with pytest.raises(ValueError, match="of format 2"):
        CachedLatents(cache.folder)
    short = {name: count + 1 for name, count in manifest["latents"].items()}
    (cache.folder / "manifest.json").write_text(json.dumps(manifest | {"latents": short}))
    with pytest.raises(ValueError, match="must hold what its manifest lists"):
        CachedLatents(cache.folder)
    (cache.folder / "manifest.json").write_text(json.dumps(manifest))
    (shard,) = manifest["latents"]
    (cache.folder.parent / shard).unlink()
    with pytest.raises(ValueError, match="must exist"):
        CachedLatents(cache.folder)
    shutil.rmtree(cache.folder.parent)
    assert len(build(make_source(6))) == 6
