"""Folders that hold another text encoder than they should, or a broken one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from text_folders import clip_folder

from equildm.interop import load_minilm, load_text_encoder, save_text_encoder
from equildm.text import (
    ByteTokenizer,
    CLIPConfig,
    CLIPText,
    read_tokenizer,
    SmallTextEncoder,
)


@pytest.fixture
def folder(tmp_path):
    """A small CLIP in files."""
    config = CLIPConfig(vocabulary=900, width=16, depth=1, heads=2, longest=9)
    clip_folder(tmp_path / "tokenizer")
    tokenizer = read_tokenizer(tmp_path / "tokenizer", "clip")
    encoder = CLIPText(config.build(key=jax.random.key(0)), tokenizer, 9)
    save_text_encoder(tmp_path, encoder, tmp_path / "tokenizer")
    return tmp_path


def load(folder, **options):
    return load_text_encoder(folder, folder / "tokenizer", **options)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "siglip"}, r"config\.json .*: model_type is 'siglip'"),
        ({"model_type": None, "architectures": ["Siglip"]}, r"architectures \['Siglip'\]"),
        ({"model_type": None, "architectures": 5}, r"config\.json must describe a text encoder"),
        ({"hidden_act": "gelu_new"}, r"config\.json .*hidden_act is 'gelu_new', and only"),
        ({"hidden_act": ["gelu"]}, r"config\.json .*hidden_act is \['gelu'\], and only"),
        ({"num_hidden_layers": 2}, r"missing 'text_model\.encoder\.layers\.1\."),
        ({"num_hidden_layers": 0}, r"config\.json .*num_hidden_layers is 0, not a whole"),
        ({"hidden_size": "16"}, r"config\.json .*hidden_size is '16', not a whole"),
        ({"hidden_size": True}, r"config\.json .*hidden_size is True, not a whole"),
        ({"layer_norm_eps": -1}, r"config\.json .*layer_norm_eps is -1, not a number"),
        ({"hidden_size": 8}, r"must have shape \(900, 8\) .*received \(900, 16\)"),
        ({"num_attention_heads": 3}, r"hidden_size is 16, not a multiple of num_attention_heads"),
    ],
)
def test_another_config_is_refused(folder, change, match):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=match):
        load(folder)


def test_a_field_that_is_missing_is_named(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json .*no field 'hidden_size'"):
        load(folder)


def test_the_architecture_does_instead_of_the_model_type(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["model_type"]
    (folder / "config.json").write_text(json.dumps(config))
    assert isinstance(load(folder), CLIPText)


def test_other_tensors_are_refused(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = "text_model.encoder.layers.0.mlp.fc1.bias"

    def attempt(changed, match):
        save_file(changed, file)
        with pytest.raises(ValueError, match=match):
            load(folder)

    attempt({k: v for k, v in tensors.items() if k != name}, f"missing '{name}'")
    attempt(tensors | {"adapter.weight": np.zeros(2, np.float32)}, r"not exp.*'adapter\.weight'")
    attempt(tensors | {name: np.zeros(63, np.float32)}, rf"'{name}' must have shape \(64,\)")
    attempt(tensors | {name: np.zeros(64, np.int64)}, f"'{name}' holds int64")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a complete"):
        load(folder)
    file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin, a pickle, .*safe_serialization"):
        load(folder)


def test_lengths_and_layers_are_checked(folder):
    assert load(folder).max_tokens == 9  # the positions, for the tokenizer's 77 are more
    with pytest.raises(ValueError, match=r"from 2 .* to 9 .*received 10"):
        load(folder, max_tokens=10)
    with pytest.raises(ValueError, match=r"skip must be from 0 to 0.*received 1"):
        load(folder, skip=1)
    with pytest.raises(ValueError, match="has positions for 9 tokens, received 10"):
        load(folder).tower(jnp.zeros(10, int))
    with pytest.raises(ValueError, match="must hold a BERT, received a CLIPText"):
        clip_folder(folder)
        load_minilm(folder, max_tokens=9)


@pytest.mark.parametrize("limit", [5, 7, 9])
def test_every_length_comes_back(folder, limit):
    """Below, at and above the tokenizer's own limit; the files change only where they must."""
    clip_folder(folder / "other", config={"model_max_length": limit})
    encoder = load_text_encoder(folder, folder / "other", max_tokens=7)
    save_text_encoder(folder / "again", encoder)
    assert load_text_encoder(folder / "again").max_tokens == 7
    before, after = (folder / name / "tokenizer_config.json" for name in ("other", "again"))
    assert (before.read_bytes() == after.read_bytes()) == (limit == 7)


def test_another_tokenizer_is_refused(folder):
    count = clip_folder(folder / "tokenizer")
    more = {f"<{i}>": count + i for i in range(901 - count)}
    (folder / "tokenizer" / "added_tokens.json").write_text(json.dumps(more))
    with pytest.raises(ValueError, match=r"tokenizer has 901 tokens, the model in .* only 900"):
        load(folder)


def test_what_cannot_be_saved(folder, tmp_path):
    encoder = load(folder)
    with pytest.raises(ValueError, match="received a ByteTokenizer"):
        save_text_encoder(tmp_path, CLIPText(encoder.tower, ByteTokenizer(), 9))
    with pytest.raises(ValueError, match="received a SmallTextEncoder"):
        save_text_encoder(tmp_path, SmallTextEncoder(key=jax.random.key(0)))


def test_fingerprints_tell_encoders_apart(folder):
    encoder = load(folder)
    others = [
        encoder,
        load(folder, max_tokens=8),
        CLIPText(encoder.tower, encoder.tokenizer, 9, padding=False),
        CLIPText(encoder.tower, ByteTokenizer(), 9),
    ]
    assert len({other.fingerprint for other in others}) == len(others)
    assert load(folder).fingerprint == encoder.fingerprint
