"""Options that count something."""

import numbers


def check_counts(config: object, *names: str, least: int = 1) -> None:
    """**Raises** `ValueError` for a field of `config` that is no whole number of at least `least`.

    The names are those of fields; the message has the option's. `None` passes: the option was left
    out.
    """
    for name in names:
        value, flag = getattr(config, name), name.replace("_", "-")
        if value is None:
            continue
        if not isinstance(value, numbers.Integral):
            raise ValueError(f"--{flag} is a whole number, received {value!r}. Choose one.")
        if value < least:  # type: ignore[operator]
            raise ValueError(
                f"--{flag} is at least {least}, received {value}. Choose {least} or more."
            )
