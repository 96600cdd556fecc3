"""Widths of the paper's family of UNets by size name, and smaller ones."""

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

QUICK = {
    "width": 32,
    "multipliers": (1, 2, 2),
    "depths": (1, 1, 1),
    "transformer_depths": (0, 1, 0),
}
"""Three levels of one block, for latents of 8x8, on which the family's fourth level has one pixel.
A step takes half of the time of `"tiny"`, and learns more."""
