"""Names of sizes and of kinds of networks: widths of the paper's UNets and of smaller ones."""

from typing import Literal

SIZES = {
    "39M": 64,
    "83M": 96,
    "145M": 128,
    "223M": 160,
    "318M": 192,
    "430M": 224,
    "558M": 256,
    "704M": 288,
    "866M": 320,
    "2B": 512,
    "5B": 768,
}
"""Size name to width `c`: the eleven models of the paper's table 1."""

SMALL = {"tiny": 16, "mini": 32, "small": 48}
"""The same structure below the paper's range, for small data and for tests."""

BackboneName = Literal["unet", "dit", "mmdit"]
"""Kind of a network."""
