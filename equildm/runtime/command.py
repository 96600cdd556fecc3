"""The edge between a recipe and the shell: options in, an exit code and one line of error out."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from .ending import leave
from .run import Run

C = TypeVar("C")
DEBUG = "--debug"


class UserError(Exception):
    """An error whose text is all that a user needs: `run_command` prints no traceback."""


def run_command(
    main: Callable[[C], None],
    config: type[C],
    description: str | None = None,
    *,
    parse: Callable[[Sequence[str]], C] | None = None,
) -> None:
    """Parses the command line, runs the recipe, and ends the process where that fails.

    What the user can mend (a `ValueError`, a file that is missing, a full disk, a device without
    memory) is one line on standard error and the exit code 1; `--debug` shows the traceback as
    well. Ctrl-C is one line and the exit code 130. Anything else is a fault of the library and has
    its traceback.

    A recipe that trains goes on with `--run FOLDER --resume` alone: the other options are those of
    the folder.

    **Arguments:**

    - `main`: the recipe.
    - `config`: its options, a dataclass.
    - `description`: for `--help`.
    - `parse`: makes the options of the command line's words, for a recipe with rules of its own.
    """
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    try:
        main(parse(arguments) if parse else _parsed(arguments, config, description))
    except KeyboardInterrupt:
        _end("Stopped by ctrl-C.", 130)
    except Exception as error:
        text = _explained(error)
        if text is None:
            raise
        _end(text, 1)


def _parsed(arguments: Sequence[str], config: type[C], description: str | None) -> C:
    import tyro  # not needed by those who use the library from Python

    from .options import check_paths

    options = _options_of_run(arguments, config)
    if options is None:
        options = tyro.cli(config, description=description, args=arguments)
    else:
        options = tyro.cli(config, description=description, args=arguments, default=options)
    check_paths(options)
    return options


def _options_of_run(arguments: Sequence[str], config: type[C]) -> C | None:
    """The options of the run that is resumed. None where none is, or it is another recipe's."""
    folder = _value("--run", arguments) or getattr(config, "run", None)
    if "--resume" not in arguments or folder is None:
        return None
    if not Run.exists(folder):
        return None
    run = Run.open(folder)
    if run.recipe != Path(sys.argv[0]).stem:
        return None
    return run.load_config(config)


def _value(flag: str, arguments: Sequence[str]) -> str | None:
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == flag:
            return value if equals else next(iter(arguments[number + 1 :]), None)
    return None


def _explained(error: Exception) -> str | None:
    """What to tell the user of an error. None for a fault of the library."""
    text = str(error).strip()
    if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in text:
        return f"The disk is full: {text}. What was complete is saved. Free some space, then go on."
    if isinstance(error, UserError | ValueError | OSError | ImportError):
        return text or None
    if "RESOURCE_EXHAUSTED" in text:
        first = text.splitlines()[0]
        return f"The device has too little memory: {first} Use a smaller batch, or --accumulate."
    return None


def _end(text: str, code: int) -> None:
    if DEBUG in sys.argv:
        traceback.print_exc()
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)
    # Others that wait for this process do not know of it.
    leave(code, "was stopped by ctrl-C" if code == 130 else "has ended with an error")
    raise SystemExit(code) from None
