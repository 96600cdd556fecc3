"""What a study took, in words."""

from equildm.study import describe_effort


def test_training_distillation_and_sampling_are_told_apart(make_row):
    rows = [
        make_row(run="a", train_step=500, gflops=1.0, seconds=1.0, count=3600, device="cpu"),
        make_row(run="a", train_step=1000, gflops=1.0, seconds=2.0, count=3600, device="H100"),
        make_row(run="b", train_step=300, gflops=1.0, seconds=1.0, count=3600, method="lcm"),
    ]
    text = describe_effort(rows)
    assert "Trained c = 32: 1,000 steps, 9.6e+13 operations" in text
    assert "Distilled c = 32 by lcm: 300 steps, 2.9e+13 operations in all, the teachers'" in text
    assert text.endswith("in 2 hours of cpu and 2 hours of H100.")
    assert "Trained" not in describe_effort(rows[2:])
    assert "Distilled" not in describe_effort(rows[:2])
