"""Names of methods, distances and kinds of guidance, as options have them."""

from typing import Literal

MethodName = Literal["codi", "lcm", "cm", "ict", "guided", "progressive"]
DistanceName = Literal["l2", "huber", "joint-huber", "lpips"]
GuidanceName = Literal["none", "fixed", "embedded", "shared"]
