"""The packaged LPIPS weights: reading them, and errors for files that do not fit."""

import pickle

import jax
import jaxtyping
import numpy as np
import pytest

from equildm.interop import load_alexnet, load_lpips, load_vgg16


@pytest.mark.parametrize("backbone", ["vgg", "alex"])
def test_heads_are_not_negative_and_fit(backbone):
    lpips = load_lpips(backbone)
    for head, channels in zip(lpips.heads, lpips.backbone.channels):
        assert head.shape == (channels,) and np.asarray(head).min() >= 0


def test_backbones_alone_are_the_same():
    for load, backbone in ((load_vgg16, "vgg"), (load_alexnet, "alex")):
        ours, theirs = jax.tree.leaves(load()), jax.tree.leaves(load_lpips(backbone).backbone)
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="received 'squeeze'"):
        load_lpips("squeeze")
    path = tmp_path / "vgg.ckpt"
    with pytest.raises(ValueError, match="no weights file at"):
        load_vgg16(path)
    path.write_bytes(pickle.dumps({"VGG16_0": {"Conv_0": {"bias": np.zeros(64, np.float32)}}}, 4))
    with pytest.raises(ValueError, match=r"vgg\.ckpt .*missing 'VGG16_0/Conv_0/kernel'"):
        load_vgg16(path)
