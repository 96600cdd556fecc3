"""What is scored: of one's own pictures those that can be used, against the reference named."""

from helpers import run_python

CODE = """
import dataclasses, json, sys
from pathlib import Path
sys.path.insert(0, "recipes")

import evaluate, models
import numpy as np
from judge import Judge, usable
from PIL import Image
from pretrain import Config as Pretrain
from scores import compare_sets
from study_grid import Config as Study
from study_sweep import make_scorer

from equildm.data import open_source, ShapesSource
from equildm.denoise import preset
from equildm.metrics import FeatureStatistics
from equildm.runtime import Run
from equildm.study import Claims

folder = Path(sys.argv[1])
(folder / "pictures").mkdir()
shapes = ShapesSource(side=32, count=14)
with (folder / "pictures" / "metadata.jsonl").open("w") as lines:
    for i in range(14):
        path = folder / "pictures" / f"{i:02d}.png"
        Image.fromarray(shapes.image(i)).save(path)
        if i == 3:
            path.write_bytes(path.read_bytes()[:60])
        if i != 5:  # has no caption
            caption = f"{shapes.caption(i)} {i}"
            lines.write(json.dumps({"file_name": path.name, "text": caption}) + "\\n")

trained = Pretrain(run=folder / "run", data=str(folder / "pictures"), held_out=0.0)
run = Run.create(trained.run, trained, "pretrain")
unet = preset(16, in_channels=4, out_channels=4, context_width=384)
models.save_model(run, models.Model(unet, 32, 4, "v", "scaled-linear", 16, "power"))

source = open_source(trained.data)
assert usable(source, range(14), 4) == [0, 1, 2, 4]  # no more is read than is asked for
assert usable(source, range(14), 99) == [i for i in range(14) if i not in (3, 5)]

judge = Judge(run, split_name="training", count=99, seed=0)
order = [i for i in np.random.default_rng(0).permutation(14) if i not in (3, 5)]
assert judge.captions == [source.caption(int(i)) for i in order] and len(judge.real) == 12
assert np.array_equal(judge.real[0], source.image(int(order[0])))

study = Study(folder=folder / "study", runs=(run.path,), split="training", count=16, real=20)
for _ in range(2):  # made, then read
    with Claims(study.folder / "claims") as claims:
        scorer = make_scorer(study, claims)
    assert scorer.captions == tuple((judge.captions * 2)[:16])
    assert scorer.reference.about.startswith("12 real pictures of "), scorer.reference.about
    assert scorer.reference.statistics.count == 12

def refused(**options):
    config = dataclasses.replace(evaluate.Config(run=run.path), **{"split": "training", **options})
    try:
        evaluate.main(config)
    except ValueError as error:
        return str(error)
    raise AssertionError(options)

real, public = folder / "real.npz", folder / "public.npz"
np.savez(public, mu=np.zeros(512), sigma=np.eye(512))
for name, value, said in (
    ("count", 0, "at least 1, received --count 0"),
    ("count", -3, "at least 1"),
    ("batch", 0, "at least 1"),
    ("steps", 0, "at least 1"),
    ("resize", "antialiased", "Give --inception PATH"),
    ("metrics", ("clip-score",), "Give --clip PATH"),
    ("clip", folder / "none", "Check the path"),
    ("inception", folder / "none", "Check the path"),
    ("reference", folder / "none", "Check the path"),
    ("reference", public, "does not say its count"),
    ("reference_count", 9, "Give --reference PATH"),
):
    found = refused(**{name: value})
    assert said in found, (name, value, found)
assert "There are no held-out captions" in refused(split="held-out")
assert "precision-recall takes at least 4" in refused(count=3, metrics=("precision-recall",))
assert "fid takes at least 2" in refused(count=1)
assert "Add fid to --metrics" in refused(reference=public, metrics=("kid",))

# No weights: it is refused after the statistics are written, before anything is sampled.
refused(save_reference=real, reference=public, reference_count=7)
kept = FeatureStatistics.load(real)
assert (kept.count, kept.extractor, kept.mean.shape) == (12, "VGG16", (512,))
np.savez(public, mu=np.zeros(64), sigma=np.eye(64))
assert "VGG16 has 512 features, received 64" in refused(reference=public, reference_count=7)

config = evaluate.Config(run=run.path, reference=real)
name, statistics = evaluate.references(config, judge.real)
given = (judge.real, judge.real[:6], "others")
options = dict(inception=None, resize="tf1", seed=0)
own, = compare_sets(("fid",), *given, **options)
other, = compare_sets(("fid",), *given, **options, fid_to=(name, statistics))
assert own.value > 1 and (own.reference, own.reference_count) == ("others", 6)
assert other.value < 1e-3 and other.reference == "pictures of real.npz", other
assert other.reference_count == 12
print("judged")
"""


def test_judging(tmp_path):
    assert run_python(CODE, str(tmp_path), devices=1).endswith("judged\n")
