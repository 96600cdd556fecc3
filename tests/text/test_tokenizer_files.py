"""Tokenizers read from folders: the same ids as transformers', and clear errors."""

import json
import shutil

import numpy as np
import pytest
from text_folders import bert_folder, clip_folder, NASTY, t5_folder, write

from equildm.text import read_tokenizer

LENGTHS = [2, 5, 77]


def check(peer, folder, kind):
    tokenizer = read_tokenizer(folder, kind)
    for length in LENGTHS:
        out = peer("tokenizer", {"folder": str(folder), "captions": NASTY, "length": length})
        ids, mask = tokenizer(NASTY, length)
        for caption, *rows in zip(NASTY, ids, out["ids"], mask, out["mask"], strict=True):
            np.testing.assert_array_equal(rows[0], rows[1], err_msg=repr(caption))
            np.testing.assert_array_equal(rows[2], rows[3], err_msg=repr(caption))


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"], ids=["sd1", "sd2"])
def test_clip_from_vocabulary_and_merges(peer, tmp_path, pad):
    clip_folder(tmp_path, pad=pad)
    check(peer, tmp_path, "clip")


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"], ids=["sd1", "sd2"])
def test_clip_as_transformers_saves_it_now(peer, tmp_path, pad):
    clip_folder(tmp_path / "old", pad=pad)
    new = tmp_path / "new"
    peer(
        "tokenizer",
        {"folder": str(tmp_path / "old"), "captions": [""], "length": 8, "save": str(new)},
    )
    assert (new / "tokenizer.json").is_file() and not (new / "vocab.json").exists()
    check(peer, new, "clip")


def test_clip_with_added_tokens(peer, tmp_path):
    """As textual inversion adds them, with a row of the embedding each."""
    ids = clip_folder(tmp_path / "a")
    write(tmp_path / "a" / "added_tokens.json", {"<my-cat>": ids + 1, "<my-toy>": ids})
    tokenizer = read_tokenizer(tmp_path / "a", "clip")
    row = tokenizer(["a <my-cat> on<my-toy>"], 8).ids[0].tolist()
    assert ids + 1 in row and ids in row
    out = peer(
        "tokenizer",
        {"folder": str(tmp_path / "a"), "captions": ["a <my-cat> on<my-toy>"], "length": 8},
    )
    assert out["ids"][0].tolist() == row
    write(tmp_path / "a" / "added_tokens.json", {"<my-cat>": ids + 5})
    with pytest.raises(ValueError, match=f"<my-cat>.* cannot have the id {ids + 5}"):
        read_tokenizer(tmp_path / "a", "clip")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
    ],
)
def test_bert_from_vocabulary(peer, tmp_path, settings):
    bert_folder(tmp_path, **settings)
    check(peer, tmp_path, "bert")


def test_t5(peer, tmp_path):
    t5_folder(tmp_path)
    check(peer, tmp_path, "t5")


def test_clip_by_hand(tmp_path):
    """What must be true without any peer: case, white space, marks around, padding."""
    ids = clip_folder(tmp_path)
    tokenizer = read_tokenizer(tmp_path, "clip")
    opening, closing = ids - 2, ids - 1
    rows, mask = tokenizer(["a cat", " A\n CAT ", ""], 8)
    assert rows[0].tolist() == rows[1].tolist()
    assert rows[2].tolist() == [opening, *[closing] * 7]
    real = mask[0].sum()
    assert 4 <= real < 8 and mask.sum(axis=1).tolist() == [real, real, 2]
    assert rows[0, 0] == opening and (rows[0, real - 1 :] == closing).all()
    assert tokenizer.longest == 77
    clip_folder(tmp_path, pad="!")
    padded, same = read_tokenizer(tmp_path, "clip")(["a cat"], 8)
    assert padded[0].tolist() == [*rows[0, :real].tolist(), *[0] * (8 - real)]
    np.testing.assert_array_equal(same[0], mask[0])


def test_the_same_files_make_equal_tokenizers(tmp_path):
    clip_folder(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    clip_folder(tmp_path / "c", pad="!")
    a, b, c = (read_tokenizer(tmp_path / name, "clip") for name in "abc")
    assert a == b and hash(a) == hash(b) and a != c
    assert a.files == {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("clip", r"not hold a tokenizer\.json nor vocab\.json and merges\.txt"),
        ("bert", r"not hold a tokenizer\.json nor vocab\.txt"),
        ("t5", r"not hold a tokenizer\.json\. Give the folder"),
    ],
)
def test_missing_files_are_named(tmp_path, kind, match):
    with pytest.raises(ValueError, match=match):
        read_tokenizer(tmp_path, kind)
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ValueError, match=match):
        read_tokenizer(tmp_path, kind)


def test_sentencepiece_alone_is_refused(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"\x0a\x0b")
    with pytest.raises(ValueError, match=r"spiece\.model alone .*save_pretrained"):
        read_tokenizer(tmp_path, "t5")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("vocab.json", "{", r"vocab\.json is not JSON"),
        ("vocab.json", "[]", r"vocab\.json does not hold an object"),
        ("vocab.json", '{"a": 0}', "out of vocabulary"),
        ("merges.txt", "#version: 0.2\na b c\n", r"merges\.txt must hold pairs"),
        ("merges.txt", "a notthere\n", "`notthere` out of vocabulary"),
        ("tokenizer_config.json", "[]", r"tokenizer_config\.json does not hold"),
        (
            "tokenizer_config.json",
            '{"pad_token": 7, "added_tokens_decoder": {}}',
            "is text, and one is 7",
        ),
        ("special_tokens_map.json", "nonsense", r"special_tokens_map\.json is not JSON"),
        ("tokenizer.json", "{}", "Exception"),
        ("tokenizer.json", "", r"tokenizer\.json is not JSON"),
    ],
)
def test_broken_files(tmp_path, name, content, match):
    clip_folder(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{tmp_path.name} .* cannot be read: .*{match}"):
        read_tokenizer(tmp_path, "clip")


def test_no_longest_where_the_file_says_none(tmp_path):
    clip_folder(tmp_path, config={"model_max_length": int(1e30)})
    assert read_tokenizer(tmp_path, "clip").longest is None
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del settings["model_max_length"]
    write(tmp_path / "tokenizer_config.json", settings)
    assert read_tokenizer(tmp_path, "clip").longest is None
