"""All devices of a process encode, and large images a few at a time: the same as one by one."""

import importlib

import equinox as eqx
import jax
import numpy as np
import pytest
from helpers import run_python
from small_models import VAE

from equildm.data import parallel_encoders
from equildm.data.encode_images import images_at_once
from equildm.data.parallel_encoders import ParallelEncoders
from equildm.text import SmallTextEncoder

CODE = """
import hashlib, sys
from pathlib import Path
import jax, numpy as np
from equildm.data import DataConfig, parallel_encoders
from equildm.text import SmallTextEncoder
sys.path.insert(0, "tests")
from small_models import VAE

placed = []
encode = parallel_encoders._encode
def spied(vae, images):
    latents = encode(vae, images)
    placed.append(len(latents.sharding.device_set))
    return latents
parallel_encoders._encode = spied
vae = VAE.build(key=jax.random.key(0))
text = SmallTextEncoder(8, 1, 1, max_tokens=12, key=jax.random.key(1))
cache = DataConfig(source="shapes", size=16, cache=Path(sys.argv[1])).latents(vae, text)
assert set(placed) == {jax.device_count()}, placed
batch = cache.gather(range(0, len(cache), 50))
np.savez(sys.argv[2], latents=batch.latents, tokens=batch.text.tokens, mask=batch.text.mask)
"""


@pytest.mark.slow
def test_four_devices_encode_as_one(tmp_path):
    results = []
    for devices in (1, 4):
        file = tmp_path / f"{devices}.npz"
        run_python(CODE, str(tmp_path / str(devices)), str(file), devices=devices)
        results.append(np.load(file))
    one, four = results
    np.testing.assert_array_equal(four["mask"], one["mask"])
    for name in ("latents", "tokens"):
        np.testing.assert_allclose(four[name], one[name], atol=2e-3)


@pytest.fixture(scope="module")
def encoders():
    text = SmallTextEncoder(8, 1, 1, max_tokens=12, key=jax.random.key(1))
    return ParallelEncoders(VAE.build(key=jax.random.key(0)), text)


def test_large_images_are_encoded_a_few_at_a_time(encoders, monkeypatch):
    assert [images_at_once(side, side) for side in (32, 128, 256, 512, 1024, 4096)] == [
        *(64, 64, 16, 4, 1, 1)
    ]
    encode, counts = parallel_encoders._encode, []

    def counted(vae, images):
        counts.append(len(images))
        return encode(vae, images)

    monkeypatch.setattr(parallel_encoders, "_encode", counted)
    module = importlib.import_module("equildm.data.encode_images")  # a function has its name too
    monkeypatch.setattr(module, "PIXELS", 2 * 16 * 16)
    images = np.random.default_rng(0).standard_normal((8, 16, 16, 3), np.float32)
    latents = encoders.images(images)
    assert counts == [2, 2, 2, 2]
    single = eqx.filter_jit(encoders.vae.encode_scaled)
    np.testing.assert_allclose(latents, [single(image) for image in images], atol=1e-5)


def test_few_images_are_a_small_batch(encoders, tmp_path):
    sizes = [encoders.cache(tmp_path, total).batch for total in (None, 1000, 64, 33, 20, 3, 1)]
    assert sizes == [64, 64, 64, 64, 32, 4, 1]
    assert encoders.cache(tmp_path, 3, batch=7).batch == 7
