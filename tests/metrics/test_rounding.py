"""One rule for a value and its error."""

import pytest

from equildm.metrics import with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (897.3, 104.0, "900 ± 100"),
        (897.3, 3.21, "897.3 ± 3.2"),
        (0.0123456, 0.001, "0.0123 ± 0.0010"),
        (161.94, 0.0998, "161.94 ± 0.10"),
        (161.94, 99.7, "160 ± 100"),
        (-2.5, 12.4, "-2 ± 12"),
        (-0.3, 151.0, "0 ± 150"),
        (12345.0, 1234.0, "12300 ± 1200"),
        (5.0, 0.0, "5 ± 0"),
        (5.0, float("inf"), "5 ± inf"),
        (float("nan"), 1.0, "nan ± 1"),
    ],
)
def test_value_and_error_end_at_the_same_place(value, error, text):
    assert with_error(value, error) == text
    assert "e+" not in text


def test_a_place_is_never_finer_than_the_error():
    for error in (0.00096, 0.0149, 0.995, 9.96, 42.0, 1e4):
        value, _, shown = with_error(1234.5678, error).partition(" ± ")
        assert len(value.partition(".")[2]) == len(shown.partition(".")[2])
        assert abs(float(shown) - error) <= 0.05 * error
