"""What a study does with its options: refused before anything is done, remembered, reported."""

from helpers import run_python

OPTIONS = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, "recipes")
from scaling_study import Config, main, parse, remember, what_it_took
from study_rules import check_alike
folder = Path(sys.argv[1])

def refused(**options):
    config = dataclasses.replace(Config(folder=folder / "none"), **options)
    try:
        main(config)
    except ValueError as error:
        assert not config.folder.exists()
        return str(error)
    raise AssertionError(options)
"""

REFUSALS = """
for name, value, said in (
    ("widths", (16, 16), "Each width is trained once"),
    ("widths", (16, 0), "positive multiple of 8, received 0"),
    ("widths", (16, 12), "positive multiple of 8, received 12"),
    ("widths", (), "Widths are at least 1"),
    ("steps", (4, 0), "Steps are at least 1"),
    ("student_steps", (0,), "Steps are at least 1"),
    ("reference", ("ddim", 0, 3.0), "Steps are at least 1"),
    ("reference", ("ddim", 4, -1.0), "from 0 on"),
    ("samplers", ("euler?",), "A solver is one of"),
    ("cfg", (1.0, float("nan")), "from 0 on"),
    ("cfg", (1.0, float("inf")), "from 0 on"),
    ("cfg", (-1.0,), "from 0 on"),
    ("count", 1, "at least 2"),
    ("groups", 1, "at least 2"),
    ("real", 1, "at least 2"),
    ("batch", 0, "at least 1"),
    ("pictures", -1, "at least 0"),
    ("seeds", (), "at least 1"),
    ("checkpoints", 0, "equal intervals"),
    ("checkpoints", 3, "equal intervals"),
    ("distill_steps", 0, "at least 1"),
    ("distill_weights", (6.0, 1.0), "from low to high"),
    ("budgets", (0.1, 0.0), "above 0"),
    ("inception", folder / "missing.safetensors", "Check the path"),
    ("resize", "antialiased", "Give --inception PATH"),
):
    found = refused(**{name: value})
    assert said in found, (name, value, found)
    if name not in ("widths", "samplers"):
        assert f"received --{name.replace('_', '-')} {value}. " in found, found
assert "Raise --count or --groups" in refused(count=3, groups=2)
assert "--count 2 pictures" in refused(count=2)
assert "4 phases" in refused(distill=("lcm", "guided"), distill_steps=6)
Config(folder=folder, count=3, groups=3, distill_weights=(3.0, 3.0)).check()
Config(folder=folder, count=4, groups=2, steps=(), distill=("guided",)).check()
"""

REMEMBERED = """
study = folder / "study"
remember(parse([str(study), "--cfg", "1", "7", "--train.steps", "80"]))
twice = ["--counting", "twice"]
for given in ([*twice, str(study), "report"], [str(study), "report", *twice]):
    found = parse(given)
    assert (found.folder, found.phase, found.counting) == (study, "report", "twice"), found
    assert found.cfg == (1.0, 7.0) and found.train.steps == 80, found
assert parse([str(study), "--cfg", "2"]).cfg == (2.0,)
assert parse([*twice, str(folder / "other")]).cfg == Config.cfg
"""

RUNS = """
from equildm.runtime import Run, write_atomic
from pretrain import Config as Pretrain
import methods

def run(name, **options):
    path = folder / "runs" / name
    return Run.create(path, Pretrain(run=path, **options), "pretrain").path

def student(name, teacher):
    path = Run.create(folder / "runs" / name, methods.Config(teacher=teacher), "distill").path
    write_atomic(path / "teacher.json", (teacher / "config.json").read_text())
    return path

one, two, other = run("one", preset="16"), run("two", seed=3), run("other", size=64)
check_alike([one, two, student("one-lcm", one)])
for stranger, said in (
    (other, "one size, received 64"),
    (student("other-lcm", other), "one size, received 64"),
    (run("data", data="shapes"), "one data, received 'shapes'"),
    (run("held", held_out=0.5), "one held_out, received 0.5"),
    (run("length", caption_length=8), "one caption_length, received 8"),
    (Run.create(folder / "runs" / "upscaler", Pretrain(), "upscaler").path, "of upscaler"),
):
    found = refused(runs=(one, stranger))
    assert said in found and str(stranger) in found, found
    Config(folder=folder, runs=(one, stranger), phase="report").check()
"""

TOLD = """
sys.path.insert(0, "tests")
from study_tables import make_row
rows = [
    make_row(run="a", train_step=500, gflops=1.0, seconds=1.0, count=3600, device="cpu"),
    make_row(run="a", train_step=1000, gflops=1.0, seconds=2.0, count=3600, device="H100"),
    make_row(run="a-lcm", train_step=300, gflops=1.0, seconds=1.0, count=3600, method="lcm",
             device="cpu"),
]
said = what_it_took(rows)
assert "Trained c = 32: 1,000 steps, 9.6e+13 operations" in said, said
assert "Distilled c = 32 by lcm: 300 steps, 2.9e+13 operations in all, the teachers'" in said, said
assert said.endswith("in 2 hours of cpu and 2 hours of H100."), said
assert "Trained" not in what_it_took(rows[2:]) and "Distilled" not in what_it_took(rows[:2])
print("told")
"""


def test_options_are_refused_remembered_and_told(tmp_path):
    parts = (OPTIONS, REFUSALS, REMEMBERED, RUNS, TOLD)
    assert run_python("".join(parts), str(tmp_path), devices=1) == "told\n"
