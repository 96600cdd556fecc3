"""Students beside their models: curves, and how many steps of the model they are worth."""

import numpy as np
import pytest

from equildm.study import draw_losses, FIGURES, LossCurve, steps_worth, student_curves
from equildm.study.gallery import student_panel
from equildm.study.students import worth_in_words


@pytest.fixture
def curve(make_row):
    return [make_row(fid=fid, steps=steps) for steps, fid in ((4, 100.0), (2, 140.0), (8, 80.0))]


def test_curves_of_each_size_that_was_distilled(study, make_row):
    curves = student_curves([*study, make_row(128), make_row(128, steps=4)])
    assert [size.width for size in curves] == [16, 32, 64]
    names = ["c016 (ddim)", "c016 (ddpm)", "c016 (dpm++2m)", "c016guided (ddim)", "c016lcm (ddim)"]
    assert list(curves[study[0].size]) == names
    for group in curves.values():
        for curve in group.values():
            steps = [row.steps for row in curve]
            assert steps == sorted(set(steps))
            assert all(row.train_step == (300 if row.method else 1000) for row in curve)
    assert student_curves([row for row in study if not row.method]) == {}


def test_the_best_guidance_scale_is_taken(make_row):
    rows = [make_row(fid=fid, guidance=scale) for scale, fid in ((1.0, 9.0), (2.0, 5.0))]
    student = make_row(fid=4.0, method="lcm")
    curves = student_curves([*rows, student])
    assert curves == {student.size: {"c032 (ddim)": [rows[1]], "c032lcm (ddim)": [student]}}


def test_steps_between_measured_ones(curve):
    points = [row.steps for row in curve], [row.fid for row in curve]
    assert steps_worth(*points, 140.0) == steps_worth(*points, 200.0) == 2.0
    assert steps_worth(*points, 100.0) == 4.0 and steps_worth(*points, 80.0) == 8.0
    assert steps_worth(*points, 120.0) == pytest.approx(8**0.5)  # half way in log steps
    assert steps_worth(*points, 79.0) == np.inf


def test_worth_in_a_table(curve, make_row):
    words = [worth_in_words(curve, fid) for fid in (150.0, 140.0, 120.0, 70.0)]
    assert words == ["less than 2", "2.0", "2.8", "more than 8"]
    assert worth_in_words([make_row(fid=9.0, steps=1)], 10.0) == "1.0"


def test_the_figure_has_a_row_for_each_size_and_counts_both_branches(study):
    figure = FIGURES["students"][1](study)
    assert len(figure.axes) == 3 * 3
    left, middle = figure.axes[:2]
    steps, evaluations = (axis.containers[0].lines[0].get_xdata() for axis in (left, middle))
    assert left.containers[0].get_label() == "c016 (ddim)"
    np.testing.assert_array_equal(evaluations, 2 * np.asarray(steps))
    student = left.containers[-1].lines[0].get_xdata()
    np.testing.assert_array_equal(student, middle.containers[-1].lines[0].get_xdata())
    assert FIGURES["students"][1]([row for row in study if not row.method]) is None


def test_the_panel_leaves_white_what_was_not_sampled(make_row):
    rows = [make_row(16, steps=n) for n in (4, 8)] + [make_row(16, steps=4, method="lcm")]
    shades = {(row.method, row.steps): 10 * i for i, row in enumerate(rows)}

    def images_of(row):
        return np.full((2, 128, 128, 3), shades[row.method, row.steps], np.uint8)

    panel = student_panel(rows, images_of)
    height, width = panel.shape[0] // 2, panel.shape[1] // 2
    centres = [[panel[i * height + 60, j * width + 60, 0] for j in (0, 1)] for i in (0, 1)]
    assert centres == [[0, 10], [20, 255]]
    assert student_panel(rows, lambda row: None) is None
    assert student_panel(rows[:2], images_of) is None


def test_losses_of_models_and_students_have_axes_of_their_own():
    steps = np.arange(1, 1001)
    curves = [
        LossCurve("c016", False, steps, 1.0 / steps),
        LossCurve("c016-lcm", True, steps[:20], np.full(20, 0.1)),
        LossCurve("c032", False, steps[:0], np.empty(0)),
    ]
    training, distillation = draw_losses(curves).axes
    mean, raw = training.lines
    assert mean.get_label() == "c016" and len(raw.get_xdata()) == 1000
    assert len(mean.get_xdata()) == 951 and mean.get_xdata()[0] == 50
    assert mean.get_ydata()[0] == pytest.approx(np.mean(1.0 / steps[:50]))
    assert len(distillation.lines[0].get_xdata()) == 19  # a tenth of the run
    assert draw_losses(curves[2:]) is None and draw_losses([]) is None
