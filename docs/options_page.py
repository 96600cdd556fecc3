"""Writes `options.md`: every option of every recipe, as their `--help` has them.

    python docs/options_page.py

Options that several recipes share stand once, on top.
"""

import re
from collections import defaultdict
from pathlib import Path

from equildm.commands import commands, load_recipe
from equildm.runtime.command_help import grouped, Option, options_of

PAGE = Path(__file__).parent / "options.md"
HEAD = """# Options of the recipes

The options of `recipes/*.py`, with their defaults. `--help` shows those of one recipe. Every recipe
takes `--debug`, which shows the traceback of an error. `scaling_study.py` takes the options of
`pretrain.py` with `--train.` in front. This page is made by `python docs/options_page.py`.
"""
Group = tuple[str, tuple[Option, ...]]


def groups_of(config: type) -> list[Group]:
    """The options of a recipe by group."""
    groups = grouped(options_of(config))
    return [(group, tuple(members)) for group, members in groups.items()]


def table(options: tuple[Option, ...]) -> str:
    """A table with a row for each option."""
    lines = ["| option | values | default | |", "|---|---|---|---|"]
    for option in options:
        cells = (f"`{option.flag}`", _code(option.values), _code(option.default), option.text)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def page() -> str:
    """The Markdown of the page."""
    texts = commands()
    groups = {name: groups_of(load_recipe(name).Config) for name in texts}
    users: dict[Group, list[str]] = defaultdict(list)
    for name, members in groups.items():
        for group in members:
            users[group].append(name)
    shared = [group for group, names in users.items() if len(names) > 1]
    titles = {}
    parts = [HEAD, "## Options of several recipes\n"]
    for title, options in sorted(shared, key=lambda group: -len(users[group])):
        names = users[title, options]
        titles[title, options] = f"{title} ({', '.join(names)})"
        parts.append(f"### {titles[title, options]}\n\n{table(options)}\n")
    for name, members in groups.items():
        parts.append(f"## {name}\n\n{texts[name]}\n")
        own = [group for group in members if group not in titles]
        parts += [f"**{title}**\n\n{table(options)}\n" for title, options in own]
        links = [f"[{g[0]}](#{_anchor(titles[g])})" for g in members if g in titles]
        if links:
            parts.append(f"Further: {', '.join(links)}.\n")
    return "\n".join(parts)


def _anchor(title: str) -> str:
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title.lower()))


if __name__ == "__main__":
    PAGE.write_text(page())
