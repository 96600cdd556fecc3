"""What a study does with its options: refused before anything is done, and remembered."""

from helpers import run_python

OPTIONS = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, "recipes")
import pretrain
from equildm.study import Price
from equildm.training import TrainConfig
from scaling_study import Config, main, parse, remembered
folder = Path(sys.argv[1])

def refused(*arguments):
    try:
        main(parse([str(folder / "none"), *arguments]))
    except (ValueError, SystemExit) as error:
        assert not (folder / "none").exists()
        return str(error)
    raise AssertionError(arguments)
"""

REFUSALS = """
def message(**options):
    try:
        Config(folder=folder, **options)
    except ValueError as error:
        return str(error)
    raise AssertionError(options)

for options, words in (
    (dict(run=folder), "--train.run"),
    (dict(preset="64"), "--train.preset"),
    (dict(train=TrainConfig(steps=1000, snapshots=5)), "--train.snapshots"),
    (dict(train=TrainConfig(steps=1000, resume=True)), "--train.resume"),
    (dict(train=TrainConfig(steps=999)), "Make --train.steps a multiple of it"),
):
    said = message(train=pretrain.Config(**options))
    assert words in said, said
missing = str(folder / "missing.safetensors")
assert "Check the path" in refused("sweep", "--inception", missing)
assert "config.json" in refused("sweep", "--runs", str(folder))
assert "Leave --runs out" in message(
    phase="train", study=dataclasses.replace(Config(folder=folder).study, runs=(folder,))
)
"""

REMEMBERED = """
study = folder / "study"
options = ["--guidance-scale", "1", "7", "--train.steps", "80", "--checkpoints", "16"]
try:  # there are no rows: it ends after it has written its options
    main(parse([str(study), "report", *options]))
except ValueError as error:
    assert "run the phase sweep first" in str(error)
twice = ["--counting", "twice"]
for arguments in ([*twice, str(study), "report"], [str(study), "report", *twice]):
    config = parse(arguments)
    assert (config.folder, config.phase) == (study, "report"), config
    assert config.study.report.counting == "twice"
    assert config.study.grid.guidance_scale == (1.0, 7.0) and config.train.train.steps == 80
assert parse([str(study)]).phase == "all"
assert parse([str(study), "--guidance-scale", "2"]).study.grid.guidance_scale == (2.0,)
assert parse([str(study), "--checkpoints", "8"]).train.train.steps == 80
assert config.study.report.price == Price(counting="twice")
assert parse([str(study), "--unit", "paper"]).study.report.price == Price("paper")
other = parse([*twice, str(folder / "other")])
assert other.study.grid == Config(folder=folder).study.grid and other.train.train.steps == 1000
"""

MODELS = """
config = parse([str(folder / "new"), "--widths", "32", "16", "--distill", "lcm", "guided"])
models, students = config.models(), config.students()
assert [(m.preset, m.run.name) for m in models] == [("16", "c016"), ("32", "c032")]
same = {dataclasses.replace(m, preset="", run=folder) for m in models}
assert len(same) == 1 and models[0].train.snapshots == 250 and models[0].train.resume
names = ["c016-lcm", "c016-guided", "c032-lcm", "c032-guided"]
assert [s.run.name for s in students] == names
assert [s.teacher for s in students] == [m.run for m in models for _ in (0, 1)]
assert config.runs() == [m.run for m in models] + [s.run for s in students]

options = ["--widths", "--transformers", "mmdit:tiny", "dit:mini", "--train.size", "32"]
one, two = parse([str(folder / "new"), *options]).models()
assert [(m.backbone, m.preset, m.run.name) for m in (one, two)] == [
    ("mmdit", "tiny", "mmdit-tiny"), ("dit", "mini", "dit-mini")
]
print("checked")
"""


def test_options_are_refused_and_remembered(tmp_path):
    parts = (OPTIONS, REFUSALS, REMEMBERED, MODELS)
    assert run_python("".join(parts), str(tmp_path), devices=1) == "checked\n"
