"""What the options of a study refuse, before anything is done."""

from pathlib import Path

import pytest

from equildm.metrics import ExtractorConfig
from equildm.runtime import from_json, to_json
from equildm.study import GridConfig, LadderConfig, ReportConfig, SampleSetConfig, StudyConfig
from equildm.training import TrainConfig

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "name", "value", "rule"),
    [
        (LadderConfig, "widths", (16, 16), "Each width is trained once"),
        (LadderConfig, "widths", (), "Models are at least 1"),
        (LadderConfig, "transformers", ("dit:tiny", "dit:tiny"), "differ in width or depth"),
        (LadderConfig, "transformers", ("dit:L/2", "dit:558M"), "differ in width or depth"),
        (LadderConfig, "checkpoints", 0, "at least 1"),
        (LadderConfig, "distill_steps", 0, "at least 1"),
        (LadderConfig, "distill_guidance_range", (6.0, 1.0), "from low to high"),
        (LadderConfig, "distill_guidance_range", (-1.0, 1.0), "from 0 on"),
        (GridConfig, "sampling_steps", (4, 0), "Steps are at least 1"),
        (GridConfig, "student_steps", (0,), "Steps are at least 1"),
        (GridConfig, "reference", ("ddim", 0, 3.0), "Steps are at least 1"),
        (GridConfig, "reference", ("ddim", 4, -1.0), "from 0 on"),
        (GridConfig, "earlier_steps", (4, 0), "Steps are at least 1"),
        (GridConfig, "guidance_scale", (1.0, NAN), "from 0 on"),
        (GridConfig, "guidance_scale", (1.0, INF), "from 0 on"),
        (GridConfig, "guidance_scale", (-1.0,), "from 0 on"),
        (GridConfig, "seeds", (), "at least 1"),
        (SampleSetConfig, "count", 1, "at least 2"),
        (SampleSetConfig, "groups", 1, "at least 2"),
        (SampleSetConfig, "real", 1, "at least 2"),
        (SampleSetConfig, "batch_size", 0, "at least 1"),
        (SampleSetConfig, "images", -1, "at least 0"),
        (ReportConfig, "budgets", (0.1, 0.0), "above 0"),
        (StudyConfig, "stale", 0.0, "above 0"),
    ],
)
def test_the_rule_the_value_and_the_option_are_named(kind, name, value, rule):
    with pytest.raises(ValueError, match=rule) as error:
        kind(**{name: value})
    assert f"received --{name.replace('_', '-')} {value}. " in str(error.value)


@pytest.mark.parametrize("width", [0, 12])
def test_a_width_is_one_of_the_family(width):
    with pytest.raises(ValueError, match=f"positive multiple of 8, received {width}"):
        LadderConfig(widths=(16, width))


def test_transformers_stand_beside_the_unets_or_alone():
    ladder = LadderConfig(widths=(32, 8), transformers=("dit:XL/2", "mmdit:tiny"))
    assert ladder.members == {
        "c008": ("unet", "8"),
        "c032": ("unet", "32"),
        "dit-XL-2": ("dit", "XL/2"),
        "mmdit-tiny": ("mmdit", "tiny"),
    }
    assert list(LadderConfig(widths=(), transformers=("dit:mini",)).members) == ["dit-mini"]
    for name, rule in (
        ("tiny", "received --transformers tiny. Kinds are dit, mmdit"),
        ("unet:32", "UNets are given by --widths"),
        ("dit:large", "A preset of DiTConfig is one of"),
    ):
        with pytest.raises(ValueError, match=rule):
            LadderConfig(transformers=(name,))


@pytest.mark.parametrize("options", [{"samplers": ("euler?",)}, {"reference": ("euler?", 4, 1.0)}])
def test_a_sampler_has_a_name(options):
    with pytest.raises(ValueError, match="A solver is one of"):
        GridConfig(**options)


def test_every_set_of_the_jackknife_has_a_covariance():
    with pytest.raises(ValueError, match="Raise --count or --groups"):
        SampleSetConfig(count=3, groups=2)
    with pytest.raises(ValueError, match="--count 2 images"):
        SampleSetConfig(count=2)
    SampleSetConfig(count=3, groups=3)
    SampleSetConfig(count=4, groups=2)


def test_a_staged_method_has_equal_phases():
    with pytest.raises(ValueError, match="4 phases"):
        LadderConfig(distill=("lcm", "guided"), distill_steps=6)
    LadderConfig(distill=("guided",), distill_guidance_range=(3.0, 3.0))
    GridConfig(sampling_steps=())


def test_models_are_trained_alike_with_snapshots_at_equal_intervals():
    ladder = LadderConfig(checkpoints=4)
    train = ladder.training(TrainConfig(steps=1000, seed=7))
    assert (train.snapshots, train.resume, train.seed) == (250, True, 7)
    with pytest.raises(ValueError, match=r"equal intervals of 999 .*received --checkpoints 4\."):
        ladder.training(TrainConfig(steps=999))


def test_students_are_trained_by_the_studys_options():
    ladder = LadderConfig(distill_steps=60, distill_guidance_range=(2.0, 4.0))
    train = ladder.student_training(8)
    assert (train.steps, train.batch_size, train.resume) == (60, 8, True)
    assert (train.optimizer.learning_rate, train.optimizer.warmup) == (1e-4, 10)
    distill = ladder.distillation("guided")
    assert (distill.method, distill.guidance_range) == ("guided", (2.0, 4.0))


def test_a_file_that_is_named_exists():
    missing = SampleSetConfig(extractor=ExtractorConfig(inception=Path("missing.safetensors")))
    with pytest.raises(ValueError, match=r"received --inception missing.safetensors\. Check"):
        missing.check_files()
    missing = SampleSetConfig(extractor=ExtractorConfig(classifier=Path("missing.safetensors")))
    with pytest.raises(ValueError, match=r"received --classifier missing.safetensors\. Check"):
        missing.check_files()
    SampleSetConfig().check_files()


def test_scores_depend_on_the_classifier_and_older_options_have_none():
    one = SampleSetConfig(extractor=ExtractorConfig(classifier=Path("one.safetensors")))
    assert one.meaning["classifier"] == Path("one.safetensors")
    assert one.meaning | {"classifier": None} == SampleSetConfig().meaning
    document = to_json(StudyConfig(samples=SampleSetConfig(count=48)))
    del document["samples"]["extractor"]["classifier"]
    assert from_json(StudyConfig, document).samples == SampleSetConfig(count=48)


def test_features_are_of_one_network():
    path = Path("x.safetensors")
    with pytest.raises(ValueError, match=r"--inception x\.safetensors and --classifier x"):
        ExtractorConfig(inception=path, classifier=path)
    with pytest.raises(ValueError, match=r"--classifier x\.safetensors and --features alexnet\."):
        ExtractorConfig(classifier=path, features="alexnet")
    with pytest.raises(ValueError, match="for Inception-v3 only"):
        ExtractorConfig(classifier=path, resize="antialiased")
