"""Several captions for each image: one is drawn anew each time, the same for any launch."""

import dataclasses
import itertools
import json
from collections import Counter

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import others_slow
from small_models import VAE

from equildm.data import (
    AbstractSource,
    batches,
    Buckets,
    CaptionedDataConfig,
    CaptionedImages,
    Crop,
    DataConfig,
    LatentBatch,
    open_source,
    split,
    Subset,
)
from equildm.data.caption_lists import CaptionLists
from equildm.data.first_captions import FirstCaptions
from equildm.runtime import from_json, Run, to_json
from equildm.text import SmallTextEncoder
from equildm.training import TrainConfig

COUNT = 8
CAPTIONS = [tuple(f"{index} {letter}" for letter in "abc"[: 1 + index % 3]) for index in range(8)]
"""One, two or three of each."""


class Greys(AbstractSource):
    """One grey for each image, by which it is known, and its first caption."""

    def __init__(self, captions=CAPTIONS, fingerprint="greys"):
        self._lists, self._fingerprint = captions, fingerprint

    @property
    def fingerprint(self):
        return self._fingerprint

    def __len__(self):
        return len(self._lists)

    def name(self, index):
        return f"image {index}"

    def caption(self, index):
        return self._lists[index][0]

    def image(self, index):
        return np.full((16, 16 if index % 2 else 32, 3), 20 * index, np.uint8)


class Listed(Greys):
    """And all of its captions."""

    def captions(self, index):
        return self._lists[index]


@pytest.fixture(
    params=others_slow(
        ["latents", "mirrored", "on disk", "buckets", "captioned"], "on disk", "captioned"
    )
)
def dataset(request, build, spell):
    return make(request.param, Listed(), build, spell)


def make(kind, source, build, spell):
    if kind == "captioned":
        return CaptionedImages(source, Crop(16, flip=True), spell)
    if kind == "buckets":
        return build(source, buckets=Buckets(16, 4))
    data = build(source, flip=kind == "mirrored")
    return type(data)(data.folder, in_memory=False) if kind == "on disk" else data


def numbers(batch):
    """Of the images."""
    if isinstance(batch, LatentBatch):
        return np.round((batch.latents[:, 0, 0, 0] + 1) * 127.5 / 20).astype(int).tolist()
    return (batch.images[:, 0, 0, 0] // 20).tolist()


def examples(stream, spell):
    """Number and caption of each example."""
    texts = [text for texts in CAPTIONS for text in texts]
    known = {tokens.tobytes(): text for tokens, text in zip(_tokens(spell(texts)), texts)}
    for batch in stream:
        captions = [known[tokens.tobytes()] for tokens in _tokens(batch.text)]
        yield from zip(numbers(batch), captions, strict=True)


def _tokens(text):
    return np.asarray(text.tokens, np.float32) + 0.0  # no negative zeros


def stream(data, count, **options):
    return list(itertools.islice(batches(data, **{"batch_size": 4, "seed": 3, **options}), count))


def same(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_each_caption_of_an_image_comes_up_as_often(dataset, spell):
    drawn = Counter(examples(stream(dataset, 40), spell))
    images = Counter(number for number, _ in drawn.elements())
    assert len(images) == COUNT
    for number, texts in enumerate(CAPTIONS):
        share, total = 1 / len(texts), images[number]
        assert sum(drawn[number, text] for text in texts) == total  # and none of another image
        for text in texts:
            assert abs(drawn[number, text] - share * total) <= 4 * np.sqrt(total * share)


@pytest.mark.parametrize("of", others_slow([2, 4], 4))
def test_any_number_of_processes_draws_the_same(dataset, of):
    whole = stream(dataset, 12)
    parts = [stream(dataset, 12, parts=(part,), of=of) for part in range(of)]
    assert same(jax.tree.map(lambda *x: np.concatenate(x), *parts), whole)


def test_what_is_resumed_draws_the_same(dataset):
    whole = stream(dataset, 12)
    assert same(stream(dataset, 7, start=5), whole[5:])
    assert same(stream(dataset, 12), whole)
    assert not same(stream(dataset, 12, seed=4), whole)


@pytest.mark.parametrize(
    "kind",
    others_slow(
        ["latents", "mirrored", "buckets", "captioned"], "mirrored", "buckets", "captioned"
    ),
)
def test_images_and_order_are_those_of_single_captions(kind, build, spell):
    several = stream(make(kind, Listed(), build, spell), 12)
    single = stream(make(kind, FirstCaptions(Listed()), build, spell), 12)
    assert [numbers(batch) for batch in several] == [numbers(batch) for batch in single]
    for one, other in zip(several, single, strict=True):
        assert np.array_equal(jax.tree.leaves(one)[0], jax.tree.leaves(other)[0])
    assert all(text == CAPTIONS[number][0] for number, text in examples(single, spell))


def test_each_caption_is_embedded_once_and_the_first_is_what_is_gathered(build, spell):
    calls = []

    def embed(captions):
        calls.extend(captions)
        return spell(captions)

    shared = [("one", "two"), ("two", "one", "three"), ("three",)]
    data = build(Listed(shared), encode_captions=embed, batch=1)
    assert sorted(calls) == sorted(["", "one", "two", "three"])
    assert data.captions == ["", "one", "two", "three"]
    assert [data[index].caption for index in range(3)] == ["one", "two", "three"]
    np.testing.assert_array_equal(
        _tokens(data.gather(range(3)).text), _tokens(spell(["one", "two", "three"]))
    )


def test_data_sets_of_single_captions_are_what_they_were(build):
    """So runs of before go on: their fingerprint is that of the first captions."""
    before = build(Greys())
    first, several = build(FirstCaptions(Listed())), build(Listed(fingerprint="listed"))
    assert first.fingerprint == before.fingerprint != several.fingerprint
    assert "captions" not in pa.ipc.open_file(first.folder / "samples.arrow").schema.names
    other = [texts[::-1] for texts in CAPTIONS]
    assert build(Listed(other, "other")).fingerprint != several.fingerprint


def test_a_cache_of_before_all_captions_were_listed_is_listed_again(build, monkeypatch):
    """And nothing of it is encoded again."""
    with monkeypatch.context() as before:
        before.setattr("equildm.data.cache.LISTING", 1)
        old = build(FirstCaptions(Listed()))

    def refuse(images):
        raise AssertionError("encoded again")

    new = build(FirstCaptions(Listed()), encode_images=refuse, encode_captions=refuse)
    assert new.folder != old.folder and new.fingerprint == old.fingerprint


def test_a_list_of_other_lengths_is_another_data_set(build):
    """The same captions in the same order, given to other images."""
    one = build(Listed([("a", "b"), ("c",), ("d",)], "one"))
    other = build(Listed([("a",), ("b", "c"), ("d",)], "other"))
    assert one.fingerprint != other.fingerprint


def test_the_log_says_that_captions_are_drawn(build, spell, caplog):
    for kind in ("latents", "buckets", "captioned"):
        caplog.clear()
        make(kind, Listed(), build, spell)
        lines = [line for line in caplog.messages if "captions for each image" in line]
        assert lines == ["1.88 captions for each image on average: one is drawn each epoch"]
    caplog.clear()
    build(FirstCaptions(Listed()))
    assert "captions for each image" not in caplog.text


def test_lists():
    lists = CaptionLists.of([[4], [1, 2, 3]])
    assert not lists.is_single and lists.average == 2
    assert lists.first(np.array([1, 0, 1])).tolist() == [1, 4, 1]
    random = np.random.default_rng(0)
    assert {int(lists.drawn(1, random)) for _ in range(50)} == {1, 2, 3}
    assert lists.drawn(1, None) == 1 and lists.drawn(0, random) == 4
    assert CaptionLists.of([[4], [1]]).is_single


@pytest.fixture
def folder(tmp_path, encode):
    """Twenty images, each with two captions, in a parquet file."""
    images = [encode(np.full((16, 16, 3), 10 * index, np.uint8)) for index in range(20)]
    texts = [[f"thing {index}", f"that {index}"] for index in range(20)]
    pq.write_table(pa.table({"image": images, "text": texts}), tmp_path / "a.parquet")
    return tmp_path


def test_a_split_goes_by_the_first_caption(folder):
    source = open_source(folder / "a.parquet")
    parts = split(source, 0.4), split(FirstCaptions(source), 0.4)
    several, single = ([[part.name(i) for i in range(len(part))] for part in two] for two in parts)
    assert several == single and all(several)
    part = Subset(source, [3, 1])
    assert part.captions(0) == ("thing 3", "that 3") and part[1].caption == "thing 1"


def test_which_captions_is_an_option(folder):
    encoders = (
        VAE.build(key=jax.random.key(0)),
        SmallTextEncoder(8, 1, 1, max_tokens=12, key=jax.random.key(1)),
    )
    options = {"source": str(folder / "a.parquet"), "size": 16, "held_out": 0.4}
    for which, expected in (("all", 2.0), ("first", 1.0)):
        config = DataConfig(**options, captions=which, cache=folder / "cache")
        data = config.latents(*encoders)
        assert data.manifest["captions_per_image"] == expected
        held_out = config.held_out_latents(*encoders, 4)
        assert held_out is not None and len(held_out.latents) == 4
        pixels = CaptionedDataConfig(**options, captions=which)
        assert len(pixels.splits()[0].captions(0)) == expected
    stored = json.loads((data.folder / "manifest.json").read_text())
    assert stored["captions"] == len(data) + 1


@dataclasses.dataclass(frozen=True)
class Recipe:
    train: TrainConfig = TrainConfig()
    data: DataConfig = DataConfig()


def test_runs_of_before_have_the_first_and_may_take_all(tmp_path):
    for kind in (DataConfig, CaptionedDataConfig):
        document = to_json(kind())
        assert document.pop("captions") == "all"
        assert from_json(kind, document).captions == "first"
    Run.create(tmp_path / "run", Recipe(data=DataConfig(captions="first")), "pretrain")
    config = Recipe(TrainConfig(resume=True))
    run = config.train.prepare_run(tmp_path / "run", config, "pretrain")
    assert run.changes["data.captions"] == ("first", "all")
