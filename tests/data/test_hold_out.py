"""`--hold-out` in every config of data, and run folders of before there was such a choice."""

import dataclasses
import json
from pathlib import Path

import pytest
import tyro
from PIL import Image

from equildm.data import (
    CaptionedDataConfig,
    DataConfig,
    DegradedDataConfig,
    EmojiSource,
    ImageDataConfig,
    is_held_out,
    open_source,
    ShapesSource,
    split,
)
from equildm.runtime import from_json, Run, to_json
from equildm.runtime.options import Flat

CONFIGS = (DataConfig, CaptionedDataConfig, ImageDataConfig, DegradedDataConfig)


@dataclasses.dataclass(frozen=True)
class Config:
    data: Flat[DataConfig] = DataConfig()


@pytest.fixture
def captioned(tmp_path) -> Path:
    """Sixty images with three captions in their metadata, one of which 0.3 holds out."""
    folder = tmp_path / "captioned"
    folder.mkdir()
    words = map(str, range(99))
    captions = [next(w for w in words if is_held_out(w, 0.3) == side) for side in (1, 0, 0)]
    rows = [{"file_name": f"{i}.png", "text": captions[i % 3]} for i in range(60)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def classes(tmp_path) -> Path:
    """Sixty images in three folders, without captions."""
    folder = tmp_path / "classes"
    source = ShapesSource(side=32, count=60)
    for i in range(60):
        path = folder / ("cat", "dog", "guinea_pig")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.image(i)).save(path)
    return folder


def old(config) -> dict:
    """The JSON of a config as it was written before it had `hold_out`."""
    section = to_json(config)
    del section["hold_out"]
    return section


def names(part) -> list[str]:
    return [part.name(index) for index in range(len(part))]


@pytest.mark.parametrize("kind", CONFIGS)
def test_classes_are_split_by_image(kind, classes):
    training, held_out = kind(str(classes), held_out=0.2).splits()
    assert len(training) + len(held_out) == 60 and 3 < len(held_out) < 25
    assert len({training.caption(i) for i in range(len(training))}) == 3


@pytest.mark.parametrize("kind", CONFIGS)
def test_it_is_an_option(kind):
    @dataclasses.dataclass(frozen=True)
    class Options:
        data: Flat[kind] = kind()

    assert tyro.cli(Options, args=[]).data.hold_out == "auto"
    assert tyro.cli(Options, args=["--hold-out", "image"]).data.hold_out == "image"
    assert to_json(kind())["hold_out"] == "auto"
    with pytest.raises(ValueError, match="hold_out is of type"):
        from_json(kind, {**to_json(kind()), "hold_out": "name"})


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_without_it_means_captions(kind):
    read = from_json(kind, old(kind("shapes", held_out=0.1)))
    assert read == kind("shapes", held_out=0.1, hold_out="caption")


@pytest.fixture
def growing(tmp_path) -> Path:
    """Eighteen images of two captions: fewer than ten each, so that captions are held out."""
    folder = tmp_path / "growing"
    folder.mkdir()
    words = list(map(str, range(99)))
    held_out = next(word for word in words if is_held_out(word, 0.3))
    trained = next(word for word in words if not is_held_out(word, 0.3))
    add(folder, [(f"{i}.png", held_out if i % 2 else trained) for i in range(18)])
    return folder


def add(folder: Path, rows: list[tuple[str, str]]) -> None:
    with (folder / "metadata.jsonl").open("a") as lines:
        for name, text in rows:
            lines.write(json.dumps({"file_name": name, "text": text}) + "\n")


def recorded(config):
    """The config as a run's checkpoints tell it again."""
    training, _ = config.splits()
    return dataclasses.replace(config, record=training.record)


@pytest.mark.parametrize("kind", [DataConfig, DegradedDataConfig])
def test_data_that_grew_are_held_out_as_before(growing, kind):
    """Where "auto" would hold out images now, of which some were trained on."""
    config = kind(str(growing), held_out=0.3)
    before = recorded(config)
    seen = set(names(config.splits()[0]))
    add(growing, [(f"{i}.png", str(i % 2)) for i in range(100, 200)])
    assert seen & set(names(config.splits()[1]))
    assert not seen & set(names(before.splits()[1]))
    if kind is DataConfig:
        assert (before.split_unit(), config.split_unit()) == ("caption", "image")


@pytest.mark.parametrize("kind", [DataConfig, DegradedDataConfig])
@pytest.mark.parametrize("unit", ["caption", "image"])
def test_data_in_which_something_is_gone_are_refused(growing, kind, unit):
    config = kind(str(growing), held_out=0.3, hold_out=unit)
    before = recorded(config)
    assert names(before.splits()[1]) == names(config.splits()[1])
    trained = config.splits()[0]
    text = trained.caption(0) if unit == "caption" else trained.name(0)
    lines = (growing / "metadata.jsonl").read_text()
    (growing / "metadata.jsonl").write_text(lines.replace(f'"{text}"', '"another"'))
    with pytest.raises(ValueError, match=rf"of \d+ {unit}s that it was trained on, 1 are not"):
        before.splits()


def test_without_a_held_out_caption_a_recorded_split_stays(growing):
    """An upscaler's data hold out images where no caption is; a run's recorded captions do not."""
    config = DegradedDataConfig(str(growing), held_out=0.3)
    before = recorded(config)
    lines = (growing / "metadata.jsonl").read_text().splitlines()
    trained = {config.splits()[0].caption(0)}
    rows = [line for line in lines if json.loads(line)["text"] in trained]
    (growing / "metadata.jsonl").write_text("\n".join(rows))
    assert len(config.splits()[1]) > 0 and len(before.splits()[1]) == 0


def test_a_record_does_not_bind_where_nothing_is_held_out(growing):
    before = recorded(DataConfig(str(growing), held_out=0.0, hold_out="image"))
    lines = (growing / "metadata.jsonl").read_text().splitlines()
    (growing / "metadata.jsonl").write_text("\n".join(lines[1:]))
    assert len(before.splits()[0]) == len(lines) - 1


def test_an_old_run_splits_as_it_did(tmp_path, captioned):
    """Even where "auto" would split otherwise; and it is resumed only with what it did."""
    for source, is_alike in (("shapes", True), (str(captioned), False)):
        run = tmp_path / Path(source).name / "run"
        Run.create(run, Config(DataConfig(source, held_out=0.3)), "pretrain")
        document = json.loads((run / "config.json").read_text())
        del document["config"]["data"]["hold_out"]
        (run / "config.json").write_text(json.dumps(document))
        config = DataConfig.of_run(Run.open(run))
        expected = split(open_source(source), 0.3, by="caption")
        assert [part.fingerprint for part in config.splits()] == [p.fingerprint for p in expected]
        auto = split(open_source(source), 0.3)
        assert (auto[1].fingerprint == expected[1].fingerprint) == is_alike

        with pytest.raises(ValueError, match=r"hold_out is 'caption' in .*, received 'auto'"):
            Run.create(run, Config(DataConfig(source, held_out=0.3)), "pretrain", resume=True)
        Run.create(run, Config(config), "pretrain", resume=True)


def test_cuts_are_split_by_image_as_ever():
    config = from_json(ImageDataConfig, old(ImageDataConfig("shapes", cut=2, held_out=0.3)))
    expected = names(split(open_source("shapes"), 0.3, by="image")[1])
    assert names(config.splits()[1]) == expected
    assert names(dataclasses.replace(config, hold_out="auto").splits()[1]) == expected


def test_old_upscalers_saw_no_captions_in_folders(classes):
    """Their images were held out by name, and are compared with new runs of the same split."""
    new = DegradedDataConfig(str(classes), size=16, scale=2, held_out=0.2)
    before = from_json(DegradedDataConfig, old(new))
    expected = names(split(open_source(str(classes)), 0.2, by="image")[1])
    assert names(before.splits()[1]) == names(new.splits()[1]) == expected


def test_upscalers_of_one_split_are_compared(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Upscaler:
        data: DegradedDataConfig

    options = [DegradedDataConfig("shapes", hold_out=unit) for unit in ("auto", "caption", "image")]
    for config in options:
        Run.create(tmp_path / config.hold_out, Upscaler(config), "super_resolution")
    runs = [tmp_path / config.hold_out for config in options]
    assert DegradedDataConfig.of_runs(runs[:2]) == options[0]
    with pytest.raises(ValueError, match="differ in hold_out"):
        DegradedDataConfig.of_runs(runs)


def test_what_auto_means_can_be_asked(classes):
    assert DataConfig(str(classes)).split_unit() == "image"
    assert DataConfig(str(classes), hold_out="caption").split_unit() == "caption"
    assert DataConfig("emoji").split_unit() == "caption"
    assert len(split(EmojiSource(), 0.05)[1]) > 100


def test_a_vae_is_scored_on_all_classes(classes):
    """Images are spread over the source, which has one class after the other."""
    config = ImageDataConfig(str(classes), size=8, held_out=0.4)
    source = open_source(str(classes))
    squares = config.squares(source, 6)
    assert len(squares) == 6
    expected = [config.squares(source, 60)[i] for i in range(0, 60, 10)]
    assert all((one == other).all() for one, other in zip(squares, expected, strict=True))
