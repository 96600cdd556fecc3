"""The options of what a training tells of itself."""

import dataclasses
import json

import pytest

from equildm.runtime.config import from_json, to_json
from equildm.training import (
    MonitorConfig,
    TrainConfig,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trackers": ("none", "wandb")}, "none stands alone, received --tracker none wandb"),
        ({"trackers": ("wandb", "wandb")}, "named once"),
        ({"validate_every": -1}, "--validate-every is a number of steps, received -1"),
        ({"validation_images": 0}, "--validation-images is at least 1, received 0"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MonitorConfig(**options)


def test_a_tracker_that_is_not_installed_is_refused_at_the_launch(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install wandb"):
        TrainConfig(monitor=MonitorConfig(trackers=("wandb",))).launch()


def test_runs_of_before_go_on_without_validation():
    old = to_json(TrainConfig())
    del old["monitor"]
    config = from_json(TrainConfig, old)
    assert config.monitor.validate_every == 0 and config.validate_every == 0
    assert config.monitor.trackers == ("tensorboard",)
    assert TrainConfig(preview_every=7).validate_every == 7


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Options of a recipe."""

    train: TrainConfig = TrainConfig()


def test_it_may_change_on_resuming(tmp_path):
    """Of a run of now, and of one that began before there was the section."""
    other = MonitorConfig(trackers=("none",), validate_every=3, validation_images=4)
    resumed = Recipe(TrainConfig(resume=True, monitor=other))
    for name in ("now", "before"):
        Recipe().train.prepare_run(tmp_path / name, Recipe(), "recipe").make()
    file = tmp_path / "before" / "config.json"
    document = json.loads(file.read_text())
    del document["config"]["train"]["monitor"]
    file.write_text(json.dumps(document))
    for name, every in (("now", None), ("before", 0)):
        run = resumed.train.prepare_run(tmp_path / name, resumed, "recipe")
        assert run.changes["train.monitor.validate_every"] == (every, 3)


def test_what_is_held_out(capsys):
    monitor = MonitorConfig(validation_images=5)
    assert monitor.held_out(lambda a, *, b, count: (a, b, count), 1, b=2) == (1, 2, 5)
    assert capsys.readouterr().out == ""
    assert monitor.held_out(lambda *, count: None) is None
    assert capsys.readouterr().out == "Nothing is held out: there is no validation loss.\n"
    assert MonitorConfig(validate_every=0).held_out(lambda: 1 / 0) is None


def test_json_holds_the_section():
    config = TrainConfig(monitor=MonitorConfig(trackers=("none",), validate_every=5))
    assert from_json(TrainConfig, json.loads(json.dumps(to_json(config)))) == config
