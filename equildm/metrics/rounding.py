"""How a number and its error are written, by one rule for all of them."""

import math


def with_error(value: float, error: float, sign: str = "±") -> str:
    """`897.3 ± 1.2`: the error in two significant digits, the value to the same place.

    No power of ten is written: `900 ± 100`. Without an error that says how far the value can be
    trusted (0, infinite or not a number), the value has five digits.
    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{value:.5g} {sign} {error:.2g}"
    places = 1 - math.floor(math.log10(error))
    if round(error, places) >= 10 ** (2 - places):  # 0.0998 is 0.10
        places -= 1
    decimals = max(places, 0)
    rounded = round(value, places) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:.{decimals}f} {sign} {round(error, places):.{decimals}f}"
