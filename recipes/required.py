"""What options must be, refused before anything is done."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """One thing that must hold."""

    holds: bool
    option: str
    """Its name in the configuration."""
    says: str
    """The rule."""
    fix: str
    """What to pass instead."""


def require(config: Any, rules: Iterable[Rule]) -> None:
    """`ValueError` for the first rule that does not hold: the rule, the value, the fix."""
    for holds, option, says, fix in rules:
        if not holds:
            value = getattr(config, option)
            flag = option.replace("_", "-")
            raise ValueError(f"{says}, received --{flag} {value}. {fix}.")


def there(option: str, path: Path | None) -> Rule:
    """That a path which was given exists."""
    missing = path is not None and not path.exists()
    return Rule(not missing, option, "What is named must exist", "Check the path")


def of_inception(resize: str, inception: Path | None) -> Rule:
    """That pictures are resized for Inception-v3 alone: VGG16 takes them as they are."""
    fits = resize == "tf1" or inception is not None
    return Rule(fits, "resize", "Pictures are resized for Inception-v3", "Give --inception PATH")
