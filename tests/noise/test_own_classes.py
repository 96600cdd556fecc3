"""A user's own schedule, prediction and times: by their Python path, in any recipe and run."""

import dataclasses

import jax
import numpy as np
import pytest
from helpers import page_code, run_python
from small_models import small_model

from equildm.noise import AbstractSchedule, LossConfig, NoiseConfig, Velocity
from equildm.pretrained import begin_run
from equildm.runtime import from_json, Run, to_json

NAMES = "my_noise.py:Sigmoid", "my_noise.py:LateTimes"


@pytest.fixture
def beside_the_file(tmp_path, monkeypatch):
    """The current folder, with the file of the page and an object in it."""
    monkeypatch.chdir(tmp_path)
    code = page_code("docs/noise.md") + "\nWIDE = Sigmoid(end=8.0)\n"
    (tmp_path / "my_noise.py").write_text(code)
    return tmp_path


def test_the_page_s_classes_are_a_schedule_and_times(beside_the_file):
    schedule, prediction = NoiseConfig(NAMES[0], "v").build()
    assert prediction == Velocity() and schedule.highest == pytest.approx(np.exp(5.0))
    times = np.linspace(0, 999, 101)
    both = jax.jit(
        lambda t: (schedule.alpha(t), schedule.sigma(t), schedule.time(schedule.level(t)))
    )
    alpha, sigma, back = map(np.asarray, both(times))
    assert np.allclose(alpha**2 + sigma**2, 1, atol=1e-6)
    assert np.allclose(back, times, atol=1e-2)
    assert NoiseConfig("my_noise.py:WIDE").build()[0].end == 8.0
    _, drawn = LossConfig(times=NAMES[1]).build()
    keys = jax.random.split(jax.random.key(0), 4096)
    late = np.asarray(jax.jit(jax.vmap(lambda key: drawn(key, schedule)))(keys))
    assert late.mean() == pytest.approx(999 * 2 / 3, rel=0.02)


def test_json_names_the_file_and_the_fields(beside_the_file):
    wide, _ = NoiseConfig("./my_noise.py:WIDE").build()
    document = to_json(wide)
    assert document == {"class": "my_noise.py:Sigmoid", "steps": 1000, "end": 8.0}
    assert from_json(AbstractSchedule, document) == wide
    assert to_json(NoiseConfig("edm", "edm").build()[0])["class"] == "EDMSchedule"


READ = """
import os, sys
from equildm.pretrained import load_pretrained
from equildm.pretrained.run_model import read_run_model
from equildm.runtime import Run
for folder, run in zip(sys.argv[1::2], sys.argv[2::2]):
    os.chdir(folder)
    try:
        print(read_run_model(Run.open(run)).model.scheduler.schedule)
    except ValueError as error:
        print(error)
"""


def test_a_run_folder_opens_where_the_file_is_and_else_says_what_it_lacks(beside_the_file):
    model = small_model()
    schedule, _ = NoiseConfig("my_noise.py:WIDE").build()
    scheduler = dataclasses.replace(model.config.scheduler, schedule=schedule)
    config = dataclasses.replace(model.config, scheduler=scheduler)
    run = Run.prepare(beside_the_file / "run", NoiseConfig("my_noise.py:WIDE"), "test")
    begin_run(run, dataclasses.replace(model, config=config))
    folders = (str(run.path), str(run.path), str(beside_the_file), "run")
    elsewhere, here = run_python(READ, *folders).splitlines()
    assert here == "Sigmoid(steps=1000, end=8.0)"
    assert (
        "model.json" in elsewhere and "There is no file" in elsewhere and "my_noise.py" in elsewhere
    )


def test_no_code_in_the_folder_of_a_model_is_run(beside_the_file):
    folder = beside_the_file / "downloaded"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    (folder / "evil.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(ValueError, match="lies in the folder of a model"):
        from_json(AbstractSchedule, {"class": "downloaded/evil.py:Schedule"})
    with pytest.raises(ValueError, match="is a subclass of AbstractSchedule, received <class"):
        from_json(AbstractSchedule, {"class": "subprocess:Popen"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sigmoid", "--schedule is one of scaled-linear, .* or a class of your own"),
        ("no_such_module:Mine", "There is no module 'no_such_module', neither installed nor in"),
        ("other.py:Mine", "There is no file .*other.py"),
        ("my_noise.py:Mine", "my_noise.py has no 'Mine'"),
        ("my_noise.py:LateTimes", "a subclass of AbstractSchedule or an object of one, received"),
        ("broken.py:Mine", "broken.py cannot be imported: SyntaxError"),
        ("lacking:Mine", "lacking cannot be imported: ModuleNotFoundError: No module named 'gone'"),
        ("arguments.py:Mine", "is a class that is built without arguments: .*missing"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(beside_the_file, name, message):
    (beside_the_file / "broken.py").write_text("def")
    (beside_the_file / "lacking.py").write_text("import gone")
    (beside_the_file / "arguments.py").write_text(
        "import equildm as eqd\n"
        "class Mine(eqd.ScaledLinear):\n    def __init__(self, end): self.end = end\n"
    )
    with pytest.raises(ValueError, match=message) as error:
        NoiseConfig(name)
    assert "\n" not in str(error.value)
