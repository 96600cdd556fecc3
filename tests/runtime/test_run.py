import dataclasses
import enum
import json
from pathlib import Path
from typing import Literal

import helpers
import pytest

from equildm.runtime import Locks, Run
from equildm.runtime.config import from_json, to_json


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True)
class Emoji:
    name: str
    size: int = 64


@dataclasses.dataclass(frozen=True)
class Folder:
    path: Path = Path("images")
    size: int = 64


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 100
    rate: float = 1e-4
    third: float = 1 / 3
    prompts: tuple[str, ...] = ("a cat", "ein Häs'chen")
    pair: tuple[int, float] = (3, 0.5)
    data: Emoji | Folder = Folder()
    also: Emoji = Emoji("twemoji")
    mesh: str | None = None
    kind: Literal["eps", "v"] = "eps"
    colour: Colour = Colour.RED
    weights: dict[str, float] = dataclasses.field(default_factory=lambda: {"l1": 1.0})
    layers: list[int] = dataclasses.field(default_factory=lambda: [1, 2])
    on: bool = True


def test_config_round_trip(tmp_path):
    config = Config(mesh="data=2", rate=1)
    run = Run.create(tmp_path / "a" / "run", config, "pretrain")
    assert Run.open(tmp_path / "a" / "run") == run and run.recipe == "pretrain"
    back = run.load_config(Config)
    assert back == config and type(back.data) is Folder and back.third.hex() == (1 / 3).hex()
    assert isinstance(back.prompts, tuple) and isinstance(back.data.path, Path)
    assert run.samples.is_dir() and run.checkpoints.is_dir()
    document = json.loads((tmp_path / "a" / "run" / "config.json").read_text())
    assert document["format"] == 2 and document["config"]["data"]["class"] == "Folder"
    launch = json.loads((run.path / "environment.json").read_text())["launches"][0]
    assert launch["packages"]["jax"] and launch["devices"]["count"] == 1 and launch["command"]


def test_a_field_that_was_added_later_takes_its_default(tmp_path):
    run = Run.create(tmp_path / "run", Config(steps=7), "pretrain")
    file = run.path / "config.json"
    document = json.loads(file.read_text())
    del document["config"]["rate"], document["config"]["data"]["path"]
    file.write_text(json.dumps(document))
    assert run.load_config(Config) == Config(steps=7)
    Run.create(tmp_path / "run", Config(steps=7), "pretrain", resume=True)
    document["config"]["steps"] = 8
    file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="steps is 8"):
        Run.create(tmp_path / "run", Config(steps=7), "pretrain", resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(stepz=3), "unknown 'stepz' at config"),
        (lambda c: c["also"].pop("name"), "missing 'name' at config.also"),
        (lambda c: c.update(steps="many"), "config.steps is of type int, received 'many'"),
        (lambda c: c.update(steps=True), "config.steps"),
        (lambda c: c.update(on=1), "config.on"),
        (lambda c: c.update(kind="x0"), "config.kind"),
        (lambda c: c.update(colour="BLUE"), "config.colour"),
        (lambda c: c.update(pair=[1]), "config.pair"),
        (lambda c: c.update(prompts=["a", 3]), r"config.prompts\[1\]"),
        (lambda c: c.update(mesh=3), "config.mesh"),
        (lambda c: c["data"].update({"class": "Parquet"}), "Parquet"),
    ],
)
def test_config_errors_name_the_field(tmp_path, change, message):
    run = Run.create(tmp_path / "run", Config(), "pretrain")
    file = run.path / "config.json"
    document = json.loads(file.read_text())
    change(document["config"])
    file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        run.load_config(Config)


def test_only_plain_values():
    with pytest.raises(ValueError, match=r"function at config.norm"):
        to_json({"norm": lambda x: x})
    assert from_json(float, 3) == 3.0 and isinstance(from_json(float, 3), float)


def test_versions_and_strangers(tmp_path):
    with pytest.raises(ValueError, match="has none"):
        Run.open(tmp_path)
    run = Run.create(tmp_path / "run", Config(), "pretrain")
    file = run.path / "config.json"
    file.write_text(file.read_text().replace('"format": 2', '"format": 7'))
    with pytest.raises(ValueError, match=r"format 2 and 1, received .* of format 7"):
        Run.open(run.path)
    file.write_text('{"form')
    with pytest.raises(ValueError, match="JSON with a format version"):
        Run.open(run.path)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").touch()
    with pytest.raises(ValueError, match=r"letter\.txt"):
        Run.create(tmp_path / "home", Config(), "pretrain")
    with pytest.raises(ValueError, match=r"letter\.txt"):
        Run.create(tmp_path / "home" / "letter.txt", Config(), "pretrain")


@pytest.mark.parametrize("text", ['{"name": "my program"}', '{"format": 1}', "[]", "{"])
def test_the_folder_of_another_program_is_left_alone(tmp_path, text):
    (tmp_path / "samples").mkdir()
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "samples" / "photograph.png").touch()
    with pytest.raises(ValueError, match=r"config\.json is of something else than a run"):
        Run.create(tmp_path, Config(), "pretrain")
    assert (tmp_path / "samples" / "photograph.png").exists()
    assert (tmp_path / "config.json").read_text() == text


def test_resume(tmp_path):
    path = tmp_path / "run"
    Run.create(path, Config(), "pretrain", resume=True)  # nothing there yet: begins
    (path / "checkpoints" / "100").mkdir()
    with pytest.raises(ValueError, match="Pass resume"):
        Run.create(path, Config(), "pretrain")
    Run.create(path, Config(), "pretrain", resume=True)
    assert len(json.loads((path / "environment.json").read_text())["launches"]) == 2
    longer = Config(steps=200)
    with pytest.raises(ValueError, match=r"steps is 100 in .*, received 200"):
        Run.create(path, longer, "pretrain", resume=True)
    run = Run.create(path, longer, "pretrain", resume=True, may_change=["steps"])
    assert run.changes == {"steps": (100, 200)}
    launches = json.loads((path / "environment.json").read_text())["launches"]
    changes = [launch.get("changes") for launch in launches]
    assert changes == [None, None, {"steps": [100, 200]}]
    assert run.load_config(Config) == longer
    with pytest.raises(ValueError, match=r"'distill' for .* of 'pretrain'"):
        Run.create(path, longer, "distill", resume=True)


def test_nested_options_that_may_change(tmp_path):
    """A name with dots is one field of a section; the name of a section is all of it."""
    config = Config(data=Emoji("twemoji"))
    path = Run.create(tmp_path / "run", config, "pretrain").path
    larger = dataclasses.replace(config, data=Emoji("twemoji", 128))
    with pytest.raises(ValueError, match=r"data\.size is 64 in .*, received 128"):
        Run.prepare(path, larger, "pretrain", resume=True)
    with pytest.raises(ValueError, match=r"data\.size is 64"):
        Run.prepare(path, larger, "pretrain", resume=True, may_change=["size", "also.size"])
    for names in (["data.size"], ["data"]):
        Run.prepare(path, larger, "pretrain", resume=True, may_change=names)
    other = dataclasses.replace(config, data=Folder())
    with pytest.raises(ValueError, match=r"data\.\w+ is "):
        Run.prepare(path, other, "pretrain", resume=True, may_change=["data.size"])
    run = Run.create(path, other, "pretrain", resume=True, may_change=["data"])
    assert run.load_config(Config) == other
    assert run.read_config()["data"] == {"class": "Folder", "path": "images", "size": 64}


def test_prepare_writes_nothing(tmp_path):
    path = tmp_path / "run"
    run = Run.prepare(path, Config(), "pretrain")
    assert not path.exists()
    run.make()
    assert Run.open(path) == run and run.load_config(Config) == Config()
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    resumed = Run.prepare(path, Config(steps=9), "pretrain", resume=True, may_change=["steps"])
    assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    resumed.make()
    assert run.load_config(Config).steps == 9
    with pytest.raises(ValueError, match="was opened"):
        Run.open(path).make()


def test_a_folder_of_format_1_is_read_in_sections(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    options = {"class": "Config", "steps": 7, "rate": 0.5, "data": "shapes", "size": 16}
    document = {"format": 1, "recipe": "pretrain", "config": options}
    (path / "config.json").write_text(json.dumps(document))
    config = Run.open(path).read_config()
    assert config["train"]["steps"] == 7
    assert config["train"]["optimizer"]["learning_rate"] == 0.5
    assert config["data"] == {"class": "DataConfig", "source": "shapes", "size": 16}


def test_a_folder_that_was_never_trained_is_taken_again(tmp_path):
    """As after a batch that was too large: the name is free, and nothing of the old run is left."""
    run = Run.create(tmp_path / "run", Config(steps=7), "pretrain")
    (run.path / "vae").mkdir()
    (run.path / "vae" / "config.json").write_text("{}")
    (run.path / "metrics.jsonl").write_text("")
    with Locks(run.path / "locks") as other:
        assert other.acquire("training")  # but not while another launch trains there
        with pytest.raises(ValueError, match="Pass resume"):
            Run.prepare(run.path, Config(steps=9), "pretrain")
    again = Run.create(run.path, Config(steps=9), "pretrain")
    assert again.load_config(Config).steps == 9
    assert {file.name for file in run.path.iterdir()} == {
        *("samples", "checkpoints", "locks", "config.json", "environment.json")
    }
    (run.averages / "100").mkdir(parents=True)
    with pytest.raises(ValueError, match="which holds one that was trained"):
        Run.prepare(run.path, Config(), "pretrain")


def test_a_vae_without_its_checkpoints_is_not_cleared(tmp_path):
    run = Run.create(tmp_path / "run", Config(), "train_vae")
    (run.path / "vae").mkdir()
    (run.path / "quality.json").touch()
    with pytest.raises(ValueError, match="holds one that was trained"):
        Run.create(tmp_path / "run", Config(), "train_vae")
    assert (run.path / "vae").exists()


def test_a_launch_killed_while_making_the_folder_can_be_repeated(tmp_path):
    run = Run.create(tmp_path / "run", Config(), "pretrain")
    (run.path / "config.json").unlink()
    (run.path / ".config.json.77.tmp").write_text("{")
    Run.create(run.path, Config(), "pretrain")
    # But checkpoints without a config belong to somebody else.
    (run.path / "config.json").unlink()
    (run.checkpoints / "100").mkdir()
    with pytest.raises(ValueError, match="'100'"):
        Run.create(run.path, Config(), "pretrain")


CACHE = """
import sys, os, time, jax, jax.numpy as jnp
jax.jit(lambda x: x + 1)(1.0)  # compiled before the cache is enabled
from equildm.runtime import enable_compile_cache
for folder in sys.argv[1:]:
    print(enable_compile_cache(folder or None))
hits = []
jax.monitoring.register_event_listener(lambda name, **kw: hits.append(name))
jax.jit(lambda x: jnp.sin(x @ x))(jnp.ones((8, 8)))
print(sum("cache_hits" in name for name in hits))
"""


def test_a_damaged_record_of_the_launches_is_named(tmp_path):
    run = Run.create(tmp_path / "run", Config(), "test")
    assert run.launch_folder == Path.cwd()
    (run.path / "environment.json").write_text('{"launches": [')
    again = Run.prepare(run.path, Config(), "test", resume=True)
    with pytest.raises(ValueError, match=r"received .*environment\.json which is not .*JSONDecode"):
        again.make()


def test_compile_cache(tmp_path):
    env = {"JAX_COMPILATION_CACHE_DIR": "", "XDG_CACHE_HOME": str(tmp_path)}
    # A folder that cannot be created does not stop the program.
    (tmp_path / "file").touch()
    none, *first = helpers.run_python(
        CACHE, str(tmp_path / "file" / "x"), "", devices=1, env=env
    ).split()
    assert none == "None" and first == [str(tmp_path / "equildm" / "xla"), "0"]
    again = helpers.run_python(CACHE, first[0], devices=1, env=env).split()
    assert again[0] == first[0] and int(again[1]) > 0
