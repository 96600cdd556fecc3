"""What `--help` shows: the options of a dataclass in groups, read from its fields' docstrings."""

import ast
import dataclasses
import inspect
import shutil
import textwrap
import types
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Annotated, Any, get_args, get_origin, get_type_hints, Literal, NamedTuple, Union

_WIDTH, _INDENT = 100, 26
_WORDS = {int: "INT", float: "FLOAT", str: "TEXT"}


class Option(NamedTuple):
    """One option of a command line."""

    group: str
    """The title above it."""
    flag: str
    """With the dashes. An argument without a flag has its name in capitals."""
    values: str
    """What follows the flag: the choices, or a kind of value."""
    text: str
    """What it does."""
    default: str = ""
    """Its default in the words of the command line, where it has one that can be shown."""
    required: bool = False
    """Whether it has no default."""


def command_help(config: type, description: str, program: str) -> str:
    """The text of `--help`.

    A section's options are a group of the section's name. A class with `GROUPS`, a mapping of names
    to fields, has several.

    **Arguments:**

    - `config`: the dataclass of the options.
    - `description`: above them, shown as it is.
    - `program`: the name of the command.
    """
    options = options_of(config)
    width = min(shutil.get_terminal_size().columns, _WIDTH)
    positional = [option for option in options if not option.flag.startswith("-")]
    names = [o.flag if o.required else f"[{o.flag}]" for o in positional]
    lines = [" ".join(["usage:", program, *names, "[options]"]), "", description.strip(), ""]
    groups = {"options": [], **grouped(options)}
    groups["options"].append(Option("options", "--debug", "", "Show tracebacks of errors."))
    for group, members in groups.items():
        lines += [f"{group}:", *(_entry(option, width) for option in members), ""]
    return "\n".join(lines).rstrip() + "\n"


def options_of(config: type) -> list[Option]:
    """The options of a dataclass and of its sections, as the command line has them."""
    return list(_options(config, None, "", "options"))


def grouped(options: Iterable[Option]) -> dict[str, list[Option]]:
    """The options by group, in their order."""
    groups: dict[str, list[Option]] = {}
    for option in options:
        groups.setdefault(option.group, []).append(option)
    return groups


def _options(kind: type, defaults: Any, prefix: str, group: str) -> Iterator[Option]:
    hints, texts = get_type_hints(kind, include_extras=True), _field_texts(kind)
    places = {name: g for g, names in getattr(kind, "GROUPS", {}).items() for name in names}
    own: list[Option] = []
    sections: list[tuple[Any, Any, str, str]] = []
    for field in dataclasses.fields(kind):
        hint, marks = _without_marks(hints[field.name])
        name = next((m.name for m in marks if getattr(m, "name", None) is not None), field.name)
        default = _default(field) if defaults is None else getattr(defaults, field.name)
        if any("Suppress" in str(mark) for mark in marks):
            continue
        if dataclasses.is_dataclass(hint):
            inside = f"{prefix}{name}." if name else prefix
            title = f"{prefix.replace('.', ' ')}{field.name}".replace("_", " ")
            sections.append((hint, default, inside, title))
            continue
        flag = prefix + name.replace("_", "-")
        values = next((m.metavar for m in marks if getattr(m, "metavar", None)), _values(hint))
        if any("Positional" in str(mark) for mark in marks):
            flag, values = flag.upper(), values if "|" in values and get_args(hint) else ""
        else:
            flag = f"--{flag}"
        if hint is bool:
            values, flag = "", f"--no-{flag[2:]}" if default is True else flag
        needed = default is dataclasses.MISSING
        shown = "" if hint is bool or needed else _shown(default)
        text = texts.get(field.name, "")
        if hint is bool and default is True:
            text = f"Turns off: {text[:1].lower()}{text[1:]}"
        title = f"{prefix.replace('.', ' ')}{places[field.name]}" if field.name in places else group
        own.append(Option(title, flag, values, text, shown, needed))
    order = [f"{prefix.replace('.', ' ')}{place}" for place in dict.fromkeys(places.values())]
    yield from sorted(own, key=lambda o: order.index(o.group) if o.group in order else -1)
    for section in sections:
        yield from _options(*section)


def _default(field: "dataclasses.Field[Any]") -> Any:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _without_marks(hint: Any) -> tuple[Any, list[Any]]:
    """The type, and what stands beside it in `Annotated`, also in a union with None."""
    marks: list[Any] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            marks += more
        elif get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
            rest = [kind for kind in get_args(hint) if kind is not type(None)]
            hint = rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007
        else:
            return hint, marks


def _values(hint: Any) -> str:
    hint, marks = _without_marks(hint)
    metavar = next((m.metavar for m in marks if getattr(m, "metavar", None)), None)
    if metavar:
        return metavar
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return "|".join(dict.fromkeys(_values(kind) for kind in get_args(hint)))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        if kinds[-1] is Ellipsis:
            return f"{_values(kinds[0])} ..."
        return " ".join(map(_values, kinds))
    if isinstance(hint, type) and issubclass(hint, PurePath):
        return "PATH"
    return _WORDS.get(hint, "")


def _shown(default: Any) -> str:
    """A default in the words of the command line. Nothing for one that the text has to explain."""
    if default is None or default == "":
        return ""
    if isinstance(default, tuple):
        return " ".join(map(_shown, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def _entry(option: Option, width: int) -> str:
    head = f"  {option.flag} {option.values}".rstrip()
    head = "\n".join(
        textwrap.wrap(head, width, subsequent_indent=" " * 6, break_on_hyphens=False)
        if len(head) <= width or " " in head.strip()
        else [head]
    )
    words = option.text + (f" [{option.default}]" if option.default else "")
    text = textwrap.wrap(words, width - _INDENT, break_on_hyphens=False) or [""]
    indent = " " * _INDENT
    if len(head) + 2 <= _INDENT:
        return "\n".join([head.ljust(_INDENT) + text[0], *(indent + line for line in text[1:])])
    return "\n".join([head, *(indent + line for line in text)])


def _field_texts(kind: type) -> dict[str, str]:
    """The docstring below each field, of the class and those that it inherits from."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:]):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=v)):
                    texts[name] = " ".join(str(v).split())
    return texts
