"""Files as others write them: fields left out, heads of other tasks, variants of half precision."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from text_folders import bert_folder

from equildm.interop import load_text_encoder, load_vae, open_weights, save_text_encoder, save_vae
from equildm.latents import VAEConfig
from equildm.text import BertConfig, MiniLM, read_tokenizer

VAE = VAEConfig(width=32, multipliers=(1,), depth=1)


def test_a_vae_without_its_groups_has_32(tmp_path):
    vae = VAE.build(key=jax.random.key(0))
    save_vae(tmp_path, vae)
    file = tmp_path / "config.json"
    fields = json.loads(file.read_text())
    assert fields.pop("norm_num_groups") == 32
    file.write_text(json.dumps(fields))
    assert load_vae(tmp_path).config == VAE


def test_a_bert_with_the_head_of_another_task(tmp_path):
    vocabulary = bert_folder(tmp_path / "tokenizer")
    config = BertConfig(vocabulary=vocabulary, width=16, depth=1, heads=2, hidden=32, longest=12)
    tokenizer = read_tokenizer(tmp_path / "tokenizer", "bert")
    encoder = MiniLM(config.build(key=jax.random.key(0)), tokenizer, 12)
    save_text_encoder(tmp_path, encoder, tmp_path / "tokenizer")
    file = tmp_path / "model.safetensors"
    tensors = {f"bert.{name}": value for name, value in load_file(file).items()}
    head = {"cls.predictions.bias": np.zeros(vocabulary, np.float32)}
    save_file(tensors | head, file)
    loaded = load_text_encoder(tmp_path, tmp_path / "tokenizer")
    leaves = [jax.tree.leaves(each.bert) for each in (encoder, loaded)]
    assert all(map(np.array_equal, *leaves))
    del tensors["bert.encoder.layer.0.output.dense.bias"]
    save_file(tensors | head, file)
    with pytest.raises(ValueError, match=r"missing 'encoder\.layer\.0\.output\.dense\.bias'"):
        load_text_encoder(tmp_path, tmp_path / "tokenizer")


@pytest.mark.parametrize("variant", ["fp16", "bf16"])
def test_a_variant_is_read(tmp_path, variant):
    save_file({"a": np.ones(2, np.float16)}, tmp_path / f"model.{variant}.safetensors")
    assert set(open_weights(tmp_path, "model")) == {"a"}


def test_shards_in_full_precision_come_before_a_variant(tmp_path):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file({"a": np.ones(2, np.float16)}, tmp_path / "model.fp16.safetensors")
    assert open_weights(tmp_path, "model")["a"].dtype == np.float32


def test_another_variant_is_named(tmp_path):
    save_file({"a": np.ones(2, np.float16)}, tmp_path / "model.ema.safetensors")
    with pytest.raises(ValueError, match=r"no model\.safetensors in .* There is model\.ema\."):
        open_weights(tmp_path, "model")
