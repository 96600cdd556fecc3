"""Lines of text that name data: options after a question mark, numbered files in braces."""

import itertools
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

_OPTIONS = re.compile(r"\?(\w+=[^/?]*)$")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def parted_spec(spec: str) -> tuple[str, dict[str, str]]:
    """What a line names, and its options: `a.parquet?image=jpg&caption=prompt`.

    A question mark without an option behind it is part of a pattern, as in `train-?.tar`.

    **Raises** `ValueError` for what is no option.
    """
    match = _OPTIONS.search(spec)
    if match is None:
        return spec, {}
    try:
        pairs = parse_qsl(match[1], strict_parsing=True)
    except ValueError as error:
        raise ValueError(
            f"Options of a data set must be name=value, joined by &; got {spec!r}. Use for "
            "instance 'a.parquet?image=jpg&caption=prompt'."
        ) from error
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"Each option of a data set must be there once; got {spec!r}. Drop one.")
    return spec[: match.start()], dict(pairs)


def expanded_braces(pattern: str) -> list[str]:
    """All that a pattern with braces stands for, in order: `a-{08..10}.tar`, `{train,test}.tar`.

    Numbers have at least as many digits as the first one. **Raises** `ValueError` for a range that
    runs down, or other text in braces.
    """
    parts = [[text] for text in _BRACES.split(pattern)]
    for number in range(1, len(parts), 2):
        parts[number] = list(_alternatives(pattern, parts[number][0]))
    return ["".join(choice) for choice in itertools.product(*parts)]


def _alternatives(pattern: str, text: str) -> Iterator[str]:
    match = _RANGE.fullmatch(text)
    if (match is None and "," not in text) or (match is not None and int(match[1]) > int(match[2])):
        raise ValueError(
            f"Braces in a pattern must hold a range upwards, or names with commas; got {{{text}}} "
            f"in {pattern!r}. Use for instance {{0000..0099}} or {{train,test}}."
        )
    if match is None:
        yield from text.split(",")
    else:
        for number in range(int(match[1]), int(match[2]) + 1):
            yield f"{number:0{len(match[1])}d}"
