"""A data set by its options: what is cut, and how much may be unusable."""

import dataclasses
import logging

import jax
import numpy as np
import pytest
from helpers import called
from image_folders import flawed_folder
from small_models import VAE

from equildm.data import (
    CaptionedDataConfig,
    Crop,
    DataConfig,
    DegradedDataConfig,
    ImageDataConfig,
)
from equildm.images import to_unit
from equildm.runtime import from_json, Run, to_json
from equildm.text import embed_captions, SmallTextEncoder
from equildm.training import TrainConfig

CONFIGS = (DataConfig, ImageDataConfig, CaptionedDataConfig, DegradedDataConfig)


@pytest.fixture(scope="module")
def encoders():
    return VAE.build(key=jax.random.key(0)), SmallTextEncoder(
        8, 1, 1, max_tokens=12, key=jax.random.key(1)
    )


@pytest.mark.parametrize("config", CONFIGS)
def test_the_share_of_unusable_samples_is_an_option(config):
    assert config().max_skipped == 0.05
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match=rf"lies in \[0, 1\], received --max-skipped {share}"):
            config(max_skipped=share)
    document = to_json(config())
    del document["max_skipped"]
    assert from_json(config, document).max_skipped == 1.0  # as before there was the option


def test_every_config_obeys_it(tmp_path, encoders):
    source = str(flawed_folder(tmp_path / "images"))
    options = {"source": source, "held_out": 0.1, "hold_out": "image", "size": 16}

    def cached(config):
        return config.latents(*encoders)

    def squares(config):
        return config.dataset(config.splits()[0])

    def captioned(config):
        return config.dataset(config.splits()[0], encoders[1])

    for kind, read in ((DataConfig, cached), (CaptionedDataConfig, captioned)):
        more = {"cache": tmp_path / "cache"} if kind is DataConfig else {}
        with pytest.raises(ValueError, match="raise --max-skipped"):
            read(kind(**options, **more))
        assert len(read(kind(**options, **more, max_skipped=0.2))) >= 10
    with pytest.raises(ValueError, match=r"1 x broken image .*raise --max-skipped"):
        squares(ImageDataConfig(**options))


def test_captions_that_are_cut_are_logged_when_they_are_encoded(tmp_path, encoders, caplog):
    source = str(flawed_folder(tmp_path / "images"))
    config = DataConfig(
        source=source, held_out=0.0, size=16, max_skipped=0.2, cache=tmp_path / "cache"
    )
    with caplog.at_level(logging.WARNING, "equildm.text"):
        config.latents(*encoders)
    lines = [line for line in caplog.messages if "are cut" in line]
    assert len(lines) == 1 and "at most 12 tokens here; 12 of 12 are longer" in lines[0]
    caplog.clear()
    config.latents(*encoders)  # from the cache
    assert not [line for line in caplog.messages if "are cut" in line]


@dataclasses.dataclass(frozen=True)
class Config:
    train: TrainConfig = TrainConfig()
    data: DataConfig = DataConfig()


def test_it_may_change_when_a_run_is_resumed(tmp_path):
    Run.create(tmp_path / "run", Config(), "pretrain")
    resumed = TrainConfig(resume=True)
    for data in (DataConfig(max_skipped=0.5), DataConfig(size=64)):
        config = Config(resumed, data)
        if data.size == 32:
            resumed.prepare_run(tmp_path / "run", config, "pretrain")
        else:
            with pytest.raises(ValueError, match=r"data\.size is 32"):
                resumed.prepare_run(tmp_path / "run", config, "pretrain")


def test_held_out_latents_are_always_the_same(tmp_path, encoders):
    """Spread over the held-out images, not mirrored, and no training image among them."""
    vae, text_encoder = encoders
    config = DataConfig("shapes", size=16, flip=True, held_out=0.1, cache=tmp_path / "cache")
    batch = config.held_out_latents(vae, text_encoder, 5)
    assert batch is not None and batch.latents.shape == (5, 8, 8, 2)
    again = config.held_out_latents(vae, text_encoder, 5)
    np.testing.assert_array_equal(again.latents, batch.latents)
    _, held_out = config.splits()
    chosen = [len(held_out) * i // 5 for i in range(5)]
    image = jax.device_put(to_unit(Crop(16)(held_out.image(chosen[3]))))
    np.testing.assert_allclose(batch.latents[3], called(vae.encode_scaled, image), atol=2e-3)
    tokens = embed_captions(text_encoder, [held_out.caption(chosen[3])]).tokens[0]
    np.testing.assert_allclose(batch.text.tokens[3], tokens, atol=2e-3)
    none = dataclasses.replace(config, held_out=0.0)
    assert none.held_out_latents(vae, text_encoder, 5) is None


def test_held_out_latents_leave_out_what_cannot_be_used(tmp_path, encoders):
    source = str(flawed_folder(tmp_path / "images"))
    config = DataConfig(source, size=16, held_out=0.9, hold_out="image", cache=tmp_path / "cache")
    _, held_out = config.splits()
    batch = config.held_out_latents(*encoders, 100)
    assert batch is not None and 0 < len(batch.latents) < len(held_out)


@pytest.mark.parametrize(
    "spec", ["images", "images/", "im*ges/?.parquet?caption=words", "{images,others}"]
)
def test_relative_data_are_those_of_the_launch(tmp_path, monkeypatch, spec):
    """From another folder, where data of the same name lie, too."""
    for name in ("here", "there"):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "images" / "a.parquet").touch()
    monkeypatch.chdir(tmp_path / "here")
    run = Run.create(tmp_path / "run", Config(data=DataConfig(spec)), "test")
    monkeypatch.chdir(tmp_path / "there")
    assert DataConfig.of_run(run).source == f"{tmp_path}/here/{spec}"
    (tmp_path / "here").rename(tmp_path / "moved")  # a copy on another machine
    assert DataConfig.of_run(run).source == spec


@pytest.mark.parametrize("spec", ["emoji", "fashion-mnist:images", "s3://bucket/images"])
def test_data_that_are_no_path_stay_as_they_are(tmp_path, monkeypatch, spec):
    (tmp_path / "emoji").mkdir()
    monkeypatch.chdir(tmp_path)
    run = Run.create(tmp_path / "run", Config(data=DataConfig(spec)), "test")
    monkeypatch.chdir("/")
    assert DataConfig.of_run(run).source == spec
