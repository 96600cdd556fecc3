"""Images of a run's own data are scored: those that can be used, beside the named reference."""

import jax
import numpy as np
import pytest
from image_folders import flawed_folder
from PIL import Image

from equildm.data import DataConfig, open_source, ShapesSource
from equildm.features import Classifier
from equildm.interop import save_classifier
from equildm.metrics import (
    Evaluator,
    ExtractorConfig,
    FeatureStatistics,
    ScoreConfig,
    settings_name,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> DataConfig:
    """14 images, of which 3 is cut off and 5 has no caption."""
    folder = flawed_folder(tmp_path_factory.mktemp("images"))
    return DataConfig(str(folder), held_out=0.0)


@pytest.fixture(scope="module")
def evaluator(data) -> Evaluator:
    return Evaluator(data, 32, split_name="training", count=99, seed=0)


def test_captions_and_real_images_are_those_that_can_be_used(data, evaluator):
    source = open_source(data.source)
    order = [i for i in np.random.default_rng(0).permutation(14) if i not in (3, 5)]
    assert evaluator.captions == [source.caption(int(i)) for i in order]
    assert len(evaluator.real) == 12
    np.testing.assert_array_equal(evaluator.real[0], source.image(int(order[0])))

    few = Evaluator(data, 16, split_name="training", count=3, seed=0)
    assert few.captions == evaluator.captions[:3] and few.real.shape == (3, 16, 16, 3)
    with pytest.raises(ValueError, match="no held-out captions"):
        Evaluator(data, 32)


@pytest.mark.slow
def test_real_images_match_their_captions(evaluator):
    matches = evaluator.caption_matches(np.zeros_like(evaluator.real))
    assert set(matches) == {"generated", "real", "shuffled"}
    assert matches["real"].rank1 > 0.5 > matches["generated"].rank1
    # Equal images tell no caption from another, in whatever order these are.
    assert matches["generated"].images == 12 and matches["shuffled"].candidates == 12
    assert evaluator.caption_match(evaluator.real) == matches["real"]
    assert evaluator.frechet_distance(evaluator.real) < 1e-3
    assert evaluator.frechet_distance(np.zeros_like(evaluator.real)) > 1


def test_the_matcher_is_fitted_on_so_many_images_at_most(data, monkeypatch):
    monkeypatch.setattr("equildm.metrics.evaluator.FITTED", 6)
    _, pool = Evaluator(data, 32, split_name="training")._matcher
    source = open_source(data.source)
    order = [i for i in np.random.default_rng(0).permutation(14) if i not in (3, 5)]
    assert pool == [source.caption(int(i)) for i in order[:6]]


def test_images_of_classes_are_held_out(tmp_path):
    """Every class is in both splits, and what an image is told from are the other classes."""
    for i in range(40):
        path = tmp_path / ("circle", "square")[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(ShapesSource(side=32, count=40).image(i)).save(path)
    evaluator = Evaluator(DataConfig(str(tmp_path), held_out=0.3), 32)
    assert set(evaluator.captions) == {"circle", "square"} and 4 < len(evaluator.real) < 24
    match = evaluator.caption_match(evaluator.real)
    assert match.candidates == 2 and match.images == len(evaluator.real)


def test_fid_is_to_the_reference_that_is_named(evaluator, tmp_path):
    file, real = tmp_path / "real.npz", evaluator.real
    ScoreConfig(save_reference=file).open(real)
    saved = FeatureStatistics.load(file)
    assert (saved.count, saved.extractor, saved.mean.shape) == (12, "VGG16, 32 pixels", (512,))

    negatives, captions = 255 - real, evaluator.captions
    (own,) = ScoreConfig(metrics=("fid",)).open(negatives, "negatives")(real, captions)
    assert own.value > 1 and (own.reference, own.reference_count) == ("negatives", 12)
    compare = ScoreConfig(metrics=("fid", "kid"), reference=file).open(negatives, "negatives")
    fid, kid = compare(real, captions)
    assert fid.value < 1e-3 and (fid.name, fid.reference_count) == ("VGG16-FID", 12)
    assert fid.reference == "images of real.npz" and kid.reference == "negatives"


def test_all_scores_of_images_with_themselves(evaluator):
    metrics = ("fid", "kid", "precision-recall", "lpips")
    compare = ScoreConfig(metrics=metrics).open(evaluator.real, "themselves")
    scores = {score.name: score for score in compare(evaluator.real, evaluator.captions, seed=3)}
    assert set(scores) == {
        *("VGG16-FID", "VGG16-KID", "VGG16-precision", "VGG16-recall", "VGG16-density"),
        *("VGG16-coverage", "LPIPS"),
    }
    assert scores["VGG16-precision"].value == scores["VGG16-recall"].value == 1
    assert scores["LPIPS"].value == 0 and scores["VGG16-KID"].settings == {"subset size": 6}
    assert all(score.count == 12 and score.seed == 3 for score in scores.values())


def test_scores_by_a_classifier_have_its_name(evaluator, tmp_path):
    path = tmp_path / "classifier.safetensors"
    save_classifier(path, Classifier("emoji", ("a", "b"), key=jax.random.key(0)))
    config = ScoreConfig(metrics=("fid", "kid"), extractor=ExtractorConfig(classifier=path))
    fid, kid = config.open(evaluator.real)(evaluator.real, evaluator.captions)
    assert (fid.name, kid.name) == ("emoji-FID", "emoji-KID") and fid.value < 1e-3
    assert fid.extractor.startswith("emoji, weights ")


def test_scores_by_alexnet_have_its_name(evaluator):
    config = ScoreConfig(metrics=("fid",), extractor=ExtractorConfig(features="alexnet"))
    (fid,) = config.open(evaluator.real)(evaluator.real, evaluator.captions)
    assert (fid.name, fid.extractor) == ("AlexNet-FID", "AlexNet, 32 pixels") and fid.value < 1e-3
    with pytest.raises(ValueError, match="31 pixels a side, received 28x28"):
        config.open(evaluator.real[:, :28, :28])


@pytest.mark.slow
def test_the_inception_score_has_no_reference(evaluator):
    images = np.tile(evaluator.real, (9, 1, 1, 1))
    (score,) = ScoreConfig(metrics=("is",)).open(images)(images, evaluator.captions * 9)
    assert (score.name, score.reference, score.count) == ("SqueezeNet-IS", None, 108)
    assert score.value > 1 and score.spread_of == "deviation of 10 splits"


def test_a_reference_of_other_images_is_refused(evaluator, tmp_path):
    """VGG16 sees images as they are: its statistics of 16 pixels are not those of 32."""
    file = tmp_path / "small.npz"
    ScoreConfig(save_reference=file).open(evaluator.real[:, ::2, ::2])
    with pytest.raises(ValueError, match="'VGG16, 16 pixels', received extractor='VGG16, 32 pix"):
        ScoreConfig(reference=file).open(evaluator.real)


def test_other_settings_have_a_file_of_their_own():
    usual = {"count": 256, "solver": None, "seed": 0}
    assert settings_name(usual, usual) == ""
    names = [
        settings_name(usual | change, usual)
        for change in ({"count": 9}, {"seed": 9}, {"solver": "heun"}, {"count": 9, "seed": 9})
    ]
    assert len(set(names)) == 4 and all(len(name) == 9 and name[0] == "_" for name in names)
    assert settings_name(usual | {"count": 9}, usual) == names[0]


def test_what_cannot_be_scored_is_refused(evaluator, tmp_path):
    public, real = tmp_path / "public.npz", evaluator.real
    np.savez(public, mu=np.zeros(64), sigma=np.eye(64))
    missing = tmp_path / "none"
    with pytest.raises(ValueError, match="Give --clip PATH"):
        ScoreConfig(metrics=("clip-score",))
    networks = [ExtractorConfig(inception=missing), ExtractorConfig(classifier=missing)]
    absent = [{"extractor": network} for network in networks]
    for path in ({"clip": missing}, {"reference": missing}, *absent):
        with pytest.raises(ValueError, match="Check the path"):
            ScoreConfig(**path)
    with pytest.raises(ValueError, match="Give --reference PATH"):
        ScoreConfig(reference_count=9)
    with pytest.raises(ValueError, match="Add fid to --metrics"):
        ScoreConfig(metrics=("kid",), reference=public)
    with pytest.raises(ValueError, match="does not record its count"):
        ScoreConfig(reference=public).open(real)
    with pytest.raises(ValueError, match="VGG16 has 512 features, received 64"):
        ScoreConfig(reference=public, reference_count=7).open(real)
    with pytest.raises(ValueError, match="precision-recall takes at least 4 images, received 3"):
        ScoreConfig(metrics=("precision-recall",)).open(real[:3])
    with pytest.raises(ValueError, match="fid takes at least 2"):
        ScoreConfig().open(real[:1])
    with pytest.raises(ValueError, match="is takes at least 100 images, received 12"):
        ScoreConfig(metrics=("is",)).open(real)
