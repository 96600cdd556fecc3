"""Names of a study's options."""

from typing import Literal

Unit = Literal["gflops", "paper", "seconds"]
"""Of what an image costs, see `Price`."""

Counting = Literal["once", "twice"]
"""How guidance counts.

- `once`: a guided evaluation is one. The paper's definition, "normalized cost x sampling steps".
- `twice`: a guided one is two. One with guidance scale 1 or 0, or of a
    guidance-conditioned network, is one. This is what a machine pays, and what agrees with the
    paper's remarks on distilled models (4 steps of the 866M at a cost of 7 to 8, section 3.6).
"""
