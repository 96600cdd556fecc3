"""All devices of a process encode: the same latents and embeddings as one."""

import pytest
from helpers import run_python

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
    import numpy as np

    results = []
    for devices in (1, 4):
        file = tmp_path / f"{devices}.npz"
        run_python(CODE, str(tmp_path / str(devices)), str(file), devices=devices)
        results.append(np.load(file))
    one, four = results
    np.testing.assert_array_equal(four["mask"], one["mask"])
    for name in ("latents", "tokens"):
        np.testing.assert_allclose(four[name], one[name], atol=2e-3)
