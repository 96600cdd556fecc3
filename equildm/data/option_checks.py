"""Checks of the options that several data configs share."""


def check_size(size: int) -> None:
    """Refuses images without pixels. **Raises** `ValueError`."""
    if size < 1:
        raise ValueError(f"Images have at least 1 pixel a side, received --size {size}.")


def check_held_out(share: float) -> None:
    """Refuses what is no share of a data set. **Raises** `ValueError`."""
    if not 0 <= share < 1:
        raise ValueError(
            f"The held-out share lies in [0, 1), received --held-out {share}. Use 0.05."
        )


def check_max_skipped(share: float) -> None:
    """Refuses what is no share of a data set. **Raises** `ValueError`."""
    if not 0 <= share <= 1:
        raise ValueError(
            f"The share that may be unusable lies in [0, 1], received --max-skipped {share}. Use "
            "0.05."
        )


def check_shuffle_files(count: int | None) -> None:
    """Refuses less than one file. **Raises** `ValueError`."""
    if count is not None and count < 1:
        raise ValueError(
            f"At least 1 file is read at a time, received --shuffle-files {count}. Leave it out "
            "for a full shuffle."
        )


def check_scale(size: int, scale: int) -> None:
    """Raises `ValueError` unless images of that size can be reduced by that factor."""
    if scale < 2 or size < scale or size % scale:
        divisors = [
            factor for factor in range(2, min(size, max(scale, 2)) + 1) if not size % factor
        ]
        fix = f"Use for instance {divisors[-1]}" if divisors else "Use for instance 4, and size 32"
        raise ValueError(
            f"Images of {size} pixels are reduced by a whole factor of at least 2 that divides "
            f"{size}; got {scale}. {fix}."
        )
