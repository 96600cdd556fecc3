"""The edge between a recipe and the shell: options in, an exit code and one line of error out."""

import contextlib
import difflib
import errno
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .command_help import command_help, options_of

C = TypeVar("C")
DEBUG = "--debug"
_CHECK = "Check the path."
_FIXES = {
    errno.ENOENT: "Check the path; nothing can be made there.",
    errno.EACCES: "Choose another path, or change its permissions.",
    errno.EROFS: "The disk is read-only: choose another path.",
}


class UserError(Exception):
    """An error whose text is all that a user needs: `run_command` prints no traceback."""


def run_command(
    main: Callable[[C], None],
    config: type[C],
    description: str | None = None,
    *,
    parse: Callable[[Sequence[str]], C] | None = None,
    program: str | None = None,
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
    - `program`: the name of the command in messages; by default that of the script.
    """
    program = program or Path(sys.argv[0]).name
    sys.unraisablehook = _print_unraisable
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    try:
        if {"-h", "--help"} & {*arguments}:
            description = description or sys.modules[config.__module__].__doc__ or ""
            if program.startswith("equildm "):
                description = re.sub(r"python recipes/(\w+)\.py", r"equildm \1", description)
            print(command_help(config, description, program), end="")
            return
        with _one_line(config):
            options = parse(arguments) if parse else _parsed(arguments, config)
        main(options)
    except KeyboardInterrupt:
        _end(program, "Stopped by ctrl-C.", 130)
    except Exception as error:
        text = _explained(error)
        if text is None:
            raise
        _end(program, text, 1)


@contextlib.contextmanager
def _one_line(config: type) -> Iterator[None]:
    """Makes one `UserError` of the box that tyro prints for options that it refuses."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            yield
    except SystemExit as end:
        if end.code != 2:
            raise
        raise UserError(_condensed(box.getvalue(), config)) from end


def _condensed(box: str, config: type) -> str:
    """The line that says what the box says; it has no names of arguments, and repeats the help."""
    rows = [row[2:].rstrip("│ ") for row in box.splitlines()[1:-1]]
    ends = [number for number, row in enumerate(rows) if row.startswith("──")]
    rows = rows[: ends[0] if ends else None]
    text = " ".join(" ".join(rows).split())
    options = options_of(config)
    if text.startswith("Missing from"):
        heads = [row.split()[0] for row in rows if re.match(r" {4}\S", row)]
        flags = [head for head in heads if head.startswith("--")]
        names = [option.flag for option in options if option.required and option.flag[0] != "-"]
        missing = names[len(names) + len(flags) - len(heads) :] + flags
        return f"{' and '.join(missing)} must be given. See --help."
    choice = re.match(r"invalid choice (.*) for argument '(.*?)'\. Expected", text)
    if choice:
        choices = set(re.findall("'(.*?)'", text.partition("Expected")[2]))
        for option in options:
            names = option.values.removesuffix(" ...").split("|")
            if {*names} == choices - {"None"}:
                flag = option.flag if choice[2][:2] != "--" else choice[2]
                return f"{flag} is one of {', '.join(names)}; received {choice[1]}."
    number = re.match(r"Error parsing (--\S+): (?:.*int\(\)|.*(float)).*: ('.*')$", text)
    if number:
        return f"{number[1]} is a {'' if number[2] else 'whole '}number; received {number[3]}."
    text = re.sub(r"^Error parsing (.*?): ", lambda m: f"{m[1]}: " * (m[1][0] == "-"), text)
    wrong = re.match(r"Unrecognized options: (--[^\s,=]+)", text)
    flags = [option.flag for option in options]
    near = difflib.get_close_matches(wrong[1], flags, 2) if wrong else []
    hint = f" Did you mean {' or '.join(near)}?" if near else " See --help." if wrong else ""
    return text.rstrip(".") + "." + hint


def _parsed(arguments: Sequence[str], config: type[C]) -> C:
    import tyro  # not needed by those who use the library from Python

    from .options import check_paths

    options = _options_of_run(arguments, config)
    default = tyro.MISSING_NONPROP if options is None else options
    options = tyro.cli(config, args=arguments, default=default)
    check_paths(options)
    return options


def _options_of_run(arguments: Sequence[str], config: type[C]) -> C | None:
    """The options of the run that is resumed. None where none is, or it is another recipe's."""
    folder = _value("--run", arguments) or getattr(config, "run", None)
    if "--resume" not in arguments or folder is None:
        return None
    from .run import Run  # loads jax, which other options do not need

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
        files = re.findall(r'local file "(.*?)(?:\.orbax-checkpoint-tmp[^"]*)?"', text)
        what = f"cannot write {files[0]}" if files else text
        return f"The disk is full: {what}. What was complete is saved. Free some space, then go on."
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}. {_FIXES.get(error.errno or 0, _CHECK)}"
    if isinstance(error, UserError | ValueError | OSError | ImportError):
        return text or None
    if "RESOURCE_EXHAUSTED" in text:
        first = text.splitlines()[0]
        return f"The device has too little memory: {first} Use a smaller batch, or --accumulate."
    return None


def _print_unraisable(what: Any) -> None:
    """`sys.unraisablehook` without the writes that go on after Orbax has given a save up.

    TensorStore reports each of them, by lines of asyncio alone. Orbax raises what went wrong first.
    """
    if str(what.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(what)


def _end(program: str, text: str, code: int) -> None:
    if DEBUG in sys.argv:
        traceback.print_exc()
    print(f"{program}: {text}", file=sys.stderr, flush=True)
    if "jax" not in sys.modules:  # this process cannot have met others
        raise SystemExit(code) from None
    from .ending import leave

    # Others that wait for this process do not know of it.
    leave(code, "was stopped by ctrl-C" if code == 130 else "has ended with an error")
    raise SystemExit(code) from None
