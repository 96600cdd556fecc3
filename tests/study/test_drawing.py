"""Curves that can be told apart, and ticks that can be read."""

from equildm.study.drawing import distinct_styles, EVALUATIONS, label_axes, new_axes, STEPS


def test_thirteen_curves_differ_without_colour_and_in_colour():
    styles = distinct_styles(13)
    assert len({style["marker"] for style in styles}) == 13
    assert len({(style["color"], style["linestyle"]) for style in styles}) == 13


def ticks(x, y, label, log):
    figure, [[axis]] = new_axes(1)
    axis.plot(x, y, label="one")
    label_axes(axis, label, "FID", title="A title", log=log)
    figure.canvas.draw()
    low, high = axis.get_ylim()
    labels = [text.get_text() for text in axis.get_xticklabels()]
    return labels, [tick for tick in axis.get_yticks() if low <= tick <= high]


def test_counts_have_ticks_at_powers_of_two():
    for label in (STEPS, EVALUATIONS):
        labels, _ = ticks([2, 4, 8, 16, 32], [5, 4, 3, 2, 1], label, "x")
        assert {"4", "8", "16"} <= {*labels}


def test_a_short_logarithmic_axis_has_several_ticks():
    for top in (33, 40, 300, 3000):
        _, shown = ticks([1, 10], [31, top], "GFLOP an image", "xy")
        assert len(shown) >= 3, top
