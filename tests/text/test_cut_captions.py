"""Captions that are longer than the encoder takes are counted, and the first is named."""

import logging
import warnings

import jax
import numpy as np
import pytest
from text_folders import clip_folder

from equildm.text import (
    ByteTokenizer,
    CutCaptions,
    embed_captions,
    embed_prompts,
    read_tokenizer,
    SmallTextEncoder,
)


@pytest.fixture(scope="module")
def encoder():
    return SmallTextEncoder(8, 1, 1, max_tokens=10, key=jax.random.key(0))


def test_lengths_are_those_before_the_cut(tmp_path):
    clip_folder(tmp_path)
    captions = ["", "a cat", "a very long caption of an emoji with a hat", "ü"]
    for tokenizer in (ByteTokenizer(), read_tokenizer(tmp_path, "clip")):
        lengths = tokenizer.lengths(captions)
        np.testing.assert_array_equal(lengths, tokenizer(captions, 100).mask.sum(1))
        cut = tokenizer(captions, 5).mask.sum(1)
        np.testing.assert_array_equal(cut, np.minimum(lengths, 5))


def test_the_limit_itself_is_not_cut():
    cut = CutCaptions(ByteTokenizer(), 10)
    cut.add(["123456789", ""])
    assert (cut.count, cut.total, cut.message()) == (0, 1, "")
    cut.add(["1234567890", "12345678901"])
    assert (cut.count, cut.total) == (2, 3)
    assert "at most 10 tokens here; 2 of 3 are longer" in cut.message()
    assert "first '1234567890' with 11. Shorten them" in cut.message()


def test_captions_of_data_are_logged_once(encoder, caplog):
    captions = ["short", *(f"caption number {i}" for i in range(300))]
    with caplog.at_level(logging.WARNING, "equildm.text"):
        embed_captions(encoder, captions)
    assert len(caplog.records) == 1
    assert "300 of 301 are longer and are cut, first 'caption number 0' with 17" in caplog.text


def test_prompts_are_warned_of(encoder):
    with pytest.warns(UserWarning, match=r"at most 10 tokens here; 1 of 2 .* 'a long prompt'"):
        embed_prompts(encoder, ["a long prompt", "short"], "")
    with pytest.warns(UserWarning, match="'ugly and blurred'"):
        embed_prompts(encoder, ["short"], "ugly and blurred")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed_prompts(encoder, ["short"], "")
