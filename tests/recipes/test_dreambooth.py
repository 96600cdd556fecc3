"""A subject learned: resumed, on eight devices, as adapters, with the text encoder; refusals."""

import json

import numpy as np
import pytest
from helpers import assert_refused, ROOT, run_python
from PIL import Image
from run_folders import forget, losses

from equildm.data import ShapesSource
from equildm.pretrained import load_pretrained, read_run_model, run_step
from equildm.runtime import Run
from equildm.training import LoRAConfig, MatchingWeights

RECIPES = ROOT / "recipes"
SMALL = (
    *("--class-prompt", "a {} disc", "--prior-count", "8", "--sampling-steps", "2"),
    *("--batch-size", "8", "--warmup", "1", "--log-every", "1", "--prompts"),
)


@pytest.fixture(scope="session")
def subject(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subject")
    source = ShapesSource(side=32, count=3)
    for i in range(3):
        Image.fromarray(source.image(i)).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    return folder


def teach(start, subject, run, *options, devices=1):
    return run_python(
        RECIPES / "dreambooth.py",
        *("--start", str(start), "--data", str(subject), "--run", str(run), *SMALL, *options),
        devices=devices,
        timeout=1500,
    )


def sample(run, out):
    options = (str(run), "--prompt", "a sks disc", "--count", "2", "--sampling-steps", "2")
    run_python(RECIPES / "sample.py", *options, "--out", str(out), devices=1)
    with Image.open(out) as image:
        assert image.size[0] > 32


@pytest.mark.slow  # five processes that compile a step
def test_a_subject_is_learned_resumed_sampled_and_scored(start, subject, tmp_path):
    one, eight, broken = (tmp_path / name for name in ("one", "eight", "broken"))
    short = ("--steps", "4", "--save-every", "2")
    printed = teach(start, subject, one, *short)
    assert "Skipped broken.png" in printed and "Making 8 images" in printed
    with np.load(one / "prior.npz") as prior:
        assert prior["images"].shape == (8, 32, 32, 3)
    assert (one / "samples" / "prior.png").is_file()
    teach(start, subject, eight, *short, "--mesh", "fsdp=8", devices=8)
    np.testing.assert_allclose(list(losses(eight).values()), list(losses(one).values()), rtol=1e-3)
    forget(one, broken, 2)
    assert "Making" not in teach(start, subject, broken, *short, "--resume")
    assert losses(broken) == losses(one)
    sample(one, tmp_path / "images.png")

    printed = run_python(
        RECIPES / "evaluate_dreambooth.py",
        *(str(start), str(one), str(broken), "--count", "2", "--unseen", "a {} square"),
        *("--sampling-steps", "2", "--out", str(tmp_path / "scores")),
        devices=1,
    )
    assert "class moved over" in printed and (tmp_path / "scores" / "images.png").is_file()
    document = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert document["config"]["captions"] == ["a {} disc", "a {} square"]
    scores = document["scores"]
    assert scores[str(start)]["class moved"] == 0 < scores[str(one)]["class moved"]
    assert 0 < scores[str(one)]["subject, known captions"] <= 1
    assert scores[str(broken)][f"class moved over {one}"] == 0
    assert (scores[str(start)]["step"], scores[str(one)]["step"]) == (None, 4)


@pytest.mark.slow  # six processes, three of which compile a step
@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--lora", "2"), LoRAConfig(2)),
        (
            ("--prior-weight", "0", "--trainable", "*attention*"),
            MatchingWeights(("*attention*",)),
        ),
        (
            *[("--train-text-encoder", "--trainable", "text.*layers.5*", "*to_v*",
               "--groups", "text.*=0.1")],
            MatchingWeights(("text.*layers.5*", "*to_v*")),
        ),
    ],
)  # fmt: skip
def test_parts_are_taught_and_sampled(start, subject, options, part, tmp_path):
    run = tmp_path / "run"
    teach(start, subject, run, "--steps", "2", *options)
    assert (run / "base").is_dir() and (run / "prior.npz").exists() == ("0" not in options)
    config = read_run_model(Run.open(run))
    assert config.trained == part and run_step(run, ema="decay_0.95") == 2
    assert config.trains_text_encoder == ("--train-text-encoder" in options)
    # The part has moved, and the frozen rest is that of the start.
    old, new = load_pretrained(start), load_pretrained(run)
    assert np.array_equal(old.network.conv_in.weight, new.network.conv_in.weight)
    to_v = [
        model.network.down[0].stages[0].transformer.blocks[0].cross_attention.to_value.weight
        for model in (old, new)
    ]
    assert not np.array_equal(*to_v)
    sample(run, tmp_path / "images.png")


def test_what_cannot_work_is_refused_before_there_is_a_folder(start, subject, tmp_path):
    run = tmp_path / "run"
    common = ["--run", str(run), "--data", str(subject), "--start"]
    disc = ["--class-prompt", "a {} disc"]
    cases = [
        ([str(tmp_path / "nothing"), *disc], r"pretrain.py makes runs/emoji"),
        ([str(start), *disc, "--trainable", "nowhere*"], "received 'nowhere*'"),
        ([str(start), *disc, "--groups", "text.*=0.1"], "received 'text.*'"),
        ([str(start), *disc, "--lora", "2", "--trainable", "*attention*"], "received --lora 2"),
        ([str(start)], "Add --class-prompt"),
        ([str(start), *disc, "--prior-weight", "nan"], "received --prior-weight nan"),
        ([str(start), *disc, "--token", ""], "received --token"),
        ([str(start), *disc, "--steps", "0"], "--steps is at least 1"),
        ([str(start), *disc, "--sampling-steps", "0"], "--sampling-steps is at least 1"),
    ]
    assert_refused(RECIPES / "dreambooth.py", cases, *common)
    assert not run.exists()


@pytest.mark.slow  # compiles a step
def test_it_starts_from_a_folder_of_diffusers(folder, subject, tmp_path):
    run = tmp_path / "run"
    small = ("--steps", "1", "--warmup", "0", "--train-text-encoder", "--trainable", "*attention*")
    printed = teach(folder / "model", subject, run, *small)
    assert str(folder / "model") in printed
    assert (run / "text_encoder").is_dir() and (run / "tokenizer").is_dir()
    config = read_run_model(Run.open(run)).model
    assert config.image_size == 16
    assert type(config.scheduler.prediction).__name__ == "Epsilon"
    assert type(config.scheduler.schedule).__name__ == "ScaledLinear"
    sample(run, tmp_path / "images.png")
