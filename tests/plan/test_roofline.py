"""The bound of a program on a chip."""

import math

from equildm.plan import CHIPS, Roofline, roofline


def test_roofline():
    chip = CHIPS["v5e"]
    bound = roofline(flops=197e12, traffic=2 * 819e9, received=0.5 * 200e9, chip=chip)
    assert (bound.compute, bound.memory, bound.links) == (1.0, 2.0, 0.5)
    assert bound.seconds == 2.0 and bound.limit == "memory"
    assert math.isclose(bound.utilisation(98.5e12, chip), 0.25)
    assert Roofline(1.0, 0.1, 3.0).limit == "links"
