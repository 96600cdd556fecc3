"""Which of a run's students makes a picture in so many steps."""

import sys

from helpers import ROOT

sys.path.insert(0, str(ROOT / "recipes"))
from models import Distilled


def test_a_student_serves_its_number_of_steps_and_those_up_to_the_next():
    model = Distilled(None, "ddim", 4, 1.0, stages=((16, 100), (8, 200), (4, 300)))
    steps = {1: 300, 2: 300, 4: 300, 7: 300, 8: 200, 15: 200, 16: 100, 50: 100}
    assert {n: model.stage(n) for n in steps} == steps
    assert Distilled("time", "consistency", 4, 3.0).stage(4) is None
