"""Text encoders against `transformers`: folders that it wrote, folders that it opens."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from helpers import called, others_slow
from safetensors.numpy import load_file, save_file
from text_folders import bert_folder, clip_folder, t5_folder

from equildm.interop import load_text_encoder, save_text_encoder
from equildm.interop.t5 import t5_config
from equildm.text import CLIPText, embed, MiniLM, T5Text

CLIP = {
    "vocab_size": 900,
    "hidden_size": 32,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
    "hidden_act": "quick_gelu",
    "bos_token_id": 0,
    "eos_token_id": 1,
}
BERT = {
    "vocab_size": 400,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
}
T5 = {
    "vocab_size": 300,
    "d_model": 24,
    "d_kv": 16,  # heads * d_kv is not d_model
    "d_ff": 40,
    "num_layers": 2,
    "num_heads": 3,
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 14,
    "feed_forward_proj": "relu",
}
TOKENIZERS = {"CLIP": clip_folder, "Bert": bert_folder, "T5": t5_folder}
CASES = [
    ("CLIPTextModel", CLIP),
    ("CLIPTextModel", CLIP | {"hidden_act": "gelu"}),
    ("CLIPTextModelWithProjection", CLIP),
    ("BertModel", BERT),
    ("T5EncoderModel", T5),
    ("T5EncoderModel", T5 | {"feed_forward_proj": "gated-gelu"}),
]
NAMES = ["clip", "clip-gelu", "clip-projection", "bert", "t5", "t5-gated"]


def inputs(vocabulary, tokens=20):
    """Ids, and masks that are full, cut short, have a hole, are one token."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, vocabulary, (4, tokens))
    mask = np.arange(tokens) < np.array([[tokens], [7], [tokens], [1]])
    mask[2, 5:9] = False
    return ids, mask


def make(peer, folder, cls, sizes, *, tokenizer=True, **config):
    """A random model of `transformers` in a folder, with a tokenizer; and its outputs."""
    ids, mask = inputs(sizes["vocab_size"])
    config |= {"class": cls, "sizes": sizes, "folder": str(folder)}
    out = peer("text_encoder", config, ids=ids, mask=mask)
    if tokenizer:
        next(make for name, make in TOKENIZERS.items() if cls.startswith(name))(folder)
    return ids, mask, out


def relative(ours, theirs):
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def network(encoder):
    return getattr(encoder, {CLIPText: "tower", MiniLM: "bert", T5Text: "t5"}[type(encoder)])


def outputs(module, ids, mask):
    """Of an encoder or a network, for each caption."""
    return jax.device_get(called(eqx.filter_vmap(module), ids, mask))


@pytest.mark.parametrize(("cls", "sizes"), CASES, ids=NAMES)
def test_the_same_outputs(peer, tmp_path, cls, sizes):
    ids, mask, theirs = make(peer, tmp_path, cls, sizes)
    encoder = load_text_encoder(tmp_path)
    ours = outputs(network(encoder), ids, mask)
    error = relative(ours[mask], theirs["last"][mask])
    print(f"{cls} {sizes.get('hidden_act', sizes.get('feed_forward_proj', ''))}: {error:.1e}")
    assert error < 1e-5
    assert np.std(theirs["last"][mask]) > 0.1


def test_clip_without_a_mask_and_skipping(peer, tmp_path):
    """As Stable Diffusion calls it, at the last and at the penultimate layer."""
    _, mask, masked = make(peer, tmp_path, "CLIPTextModel", CLIP)
    ids, _ = inputs(CLIP["vocab_size"])
    config = {"class": "CLIPTextModel", "folder": str(tmp_path)}
    theirs = peer("text_encoder", config, ids=ids)
    for skip, name in enumerate(["last", "penultimate"]):
        encoder = load_text_encoder(tmp_path, skip=skip)
        ours = outputs(encoder, ids, mask)
        error = relative(ours.tokens, theirs[name])
        print(f"CLIP, {name} layer: {error:.1e}")
        assert error < 1e-5 and ours.mask.all()
    assert relative(theirs["last"], masked["last"]) > 1e-2  # a mask would have been noticed
    assert relative(theirs["last"], theirs["penultimate"]) > 1e-2
    hidden = CLIPText(encoder.tower, encoder.tokenizer, 20, skip=1, padding=False)
    ours = outputs(hidden, ids, mask)
    assert relative(ours.tokens[mask], masked["penultimate"][mask]) < 1e-5
    np.testing.assert_array_equal(ours.mask, mask)


def test_captions_to_embeddings(peer, tmp_path):
    """Text in, through both tokenizers: padding and all."""
    captions = ["", "a photo of a cat", "the quick brown fox " * 9]
    make(peer, tmp_path, "CLIPTextModel", CLIP)
    config = {"folder": str(tmp_path), "captions": captions, "length": 20}
    ids = peer("tokenizer", config)["ids"]
    theirs = peer("text_encoder", {"class": "CLIPTextModel", "folder": str(tmp_path)}, ids=ids)
    encoder = load_text_encoder(tmp_path)
    assert encoder.max_tokens == 20 and encoder.width == 32
    assert relative(embed(encoder, captions, batch=2).tokens, theirs["last"]) < 1e-5


@pytest.mark.parametrize(
    ("dtype", "case"),
    others_slow(
        itertools.product(["float16", "bfloat16"], ["clip", "bert"]),
        ("float16", "clip"),
        ("bfloat16", "bert"),
    ),
)
def test_half_precision_and_shards(peer, tmp_path, case, dtype):
    cls, sizes = CASES[NAMES.index(case)]
    ids, mask, theirs = make(
        peer, tmp_path, cls, sizes, dtype=dtype, save={"max_shard_size": "20KB"}
    )
    assert (tmp_path / "model.safetensors.index.json").is_file()
    encoder = load_text_encoder(tmp_path)
    assert {leaf.dtype for leaf in jax.tree.leaves(encoder)} == {jnp.dtype("float32")}
    ours = outputs(network(encoder), ids, mask)
    assert relative(ours[mask], theirs["last"][mask]) < 1e-5
    stored = load_text_encoder(tmp_path, dtype="stored")
    assert {leaf.dtype for leaf in jax.tree.leaves(stored)} == {jnp.dtype(dtype)}
    half = outputs(network(stored), ids, mask)
    assert half.dtype == jnp.dtype(dtype)
    assert relative(half[mask].astype(np.float32), theirs["last"][mask]) < 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("cls", "sizes"), CASES, ids=NAMES)
def test_load_and_save_gives_the_same_bytes(peer, tmp_path, cls, sizes, dtype):
    first, second = tmp_path / "first", tmp_path / "second"
    ids, mask, theirs = make(peer, first, cls, sizes, dtype=dtype)
    save_text_encoder(second, load_text_encoder(first, dtype="stored"))
    before, after = (load_file(folder / "model.safetensors") for folder in (first, second))
    left_out = {name for name in before if name.startswith(("pooler.", "text_projection"))}
    assert set(after) == set(before) - left_out
    for name, array in after.items():
        assert array.dtype == before[name].dtype
        assert array.tobytes() == before[name].tobytes()
    for file in first.iterdir():
        if "token" in file.name or "vocab" in file.name or "merges" in file.name:
            assert (second / file.name).read_bytes() == file.read_bytes()
    # And back in the public library.
    cls = cls.removesuffix("WithProjection")
    again = peer("text_encoder", {"class": cls, "folder": str(second)}, ids=ids, mask=mask)
    np.testing.assert_array_equal(again["last"], theirs["last"])
    captions = {"captions": ["a cat"], "length": 8}
    tokens = [peer("tokenizer", {"folder": str(f), **captions})["ids"] for f in (first, second)]
    np.testing.assert_array_equal(*tokens)


def test_saving_leaves_out_what_is_skipped(peer, tmp_path):
    ids, mask, theirs = make(peer, tmp_path / "a", "CLIPTextModel", CLIP)
    save_text_encoder(tmp_path / "b", load_text_encoder(tmp_path / "a", skip=1), tmp_path / "t")
    out = peer(
        "text_encoder",
        {"class": "CLIPTextModel", "folder": str(tmp_path / "b")},
        ids=ids,
        mask=mask,
    )
    np.testing.assert_allclose(out["last"], theirs["penultimate"], rtol=1e-5, atol=1e-5)
    assert not (tmp_path / "b" / "merges.txt").exists()
    again = load_text_encoder(tmp_path / "b", tmp_path / "t", max_tokens=9)
    assert (again.skip, again.max_tokens, len(again.tower.layers)) == (0, 9, 1)
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    ends = again.tokenizer([""], 2).ids[0].tolist()
    assert [config["bos_token_id"], config["eos_token_id"]] == ends


def test_saving_to_another_dtype(peer, tmp_path):
    make(peer, tmp_path / "a", "BertModel", BERT)
    save_text_encoder(tmp_path / "b", load_text_encoder(tmp_path / "a"), dtype="bfloat16")
    stored = load_file(tmp_path / "b" / "model.safetensors")
    assert {array.dtype for array in stored.values()} == {np.dtype(ml_dtypes.bfloat16)}
    assert json.loads((tmp_path / "b" / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_the_text_half_of_a_clip(peer, tmp_path):
    """Its `text_config` may leave out whatever is the default."""
    ids, mask, theirs = make(peer, tmp_path / "half", "CLIPTextModelWithProjection", CLIP)
    tensors = load_file(tmp_path / "half" / "model.safetensors")
    more = ("logit_scale", "visual_projection.weight", "vision_model.embeddings.class_embedding")
    tensors |= {name: np.zeros((), np.float32) for name in more}
    tensors["text_model.embeddings.position_ids"] = np.arange(20)[None]
    (tmp_path / "clip").mkdir()
    save_file(tensors, tmp_path / "clip" / "model.safetensors")
    text = {name: size for name, size in CLIP.items() if name != "hidden_act"}
    config = {"model_type": "clip", "architectures": ["CLIPModel"], "text_config": text}
    (tmp_path / "clip" / "config.json").write_text(json.dumps(config))
    encoder = load_text_encoder(tmp_path / "clip", tmp_path / "half")
    ours = outputs(encoder.tower, ids, mask)
    assert relative(ours[mask], theirs["last"][mask]) < 1e-5


SD1 = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
}
SD2 = SD1 | {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "count"), [(SD1, 123_060_480), (SD2, 340_387_840)], ids=["ViT-L/14", "ViT-H/14"]
)
def test_true_sizes(peer, tmp_path, sizes, count):
    config = {"class": "CLIPTextModel", "sizes": sizes, "folder": str(tmp_path)}
    ids = np.random.default_rng(0).integers(0, 49408, (2, 77))
    theirs = peer("text_encoder", config, ids=ids)
    clip_folder(tmp_path)
    encoder = load_text_encoder(tmp_path)
    assert sum(leaf.size for leaf in jax.tree.leaves(encoder)) == count
    run = eqx.filter_jit(lambda encoder, *inputs: jax.vmap(encoder)(*inputs))
    ours = run(encoder, jnp.asarray(ids), jnp.ones_like(ids, bool))
    error = relative(ours.tokens, theirs["last"])
    print(f"CLIP of {count:,} parameters: relative error {error:.1e}")
    assert error < 1e-4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"feed_forward_proj": "gated-gelu", "dense_act_fn": "relu"}, "only 'gelu_new'"),
        ({"feed_forward_proj": "relu", "is_gated_act": True}, "is_gated_act is True"),
    ],
)
def test_a_t5_of_another_activation_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        t5_config(T5 | fields)
