"""Which of a run's students is opened for a number of sampling steps."""

from equildm.denoise import UNetConfig
from equildm.interop import Scheduler
from equildm.pipeline import ModelConfig
from equildm.pretrained import RunModelConfig

MODEL = ModelConfig(UNetConfig(16), 32, (8, 8, 4), Scheduler(), 16)


def test_a_student_serves_its_number_of_steps_and_those_up_to_the_next():
    staged = RunModelConfig(MODEL, stages=((16, 100), (8, 200), (4, 300)))
    steps = {1: 300, 2: 300, 4: 300, 7: 300, 8: 200, 15: 200, 16: 100, 50: 100}
    assert {number: staged.stage(number) for number in steps} == steps
    assert RunModelConfig(MODEL).stage(4) is None
