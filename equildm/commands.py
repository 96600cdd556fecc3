"""The console command: `equildm pretrain --run runs/mine` runs the recipe of that name."""

import ast
import difflib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from .runtime.command import run_command

_HERE = Path(__file__).parent
USAGE = "usage: equildm COMMAND [options]        equildm COMMAND --help        equildm --version"


def recipes_folder() -> Path:
    """The folder of the recipes: in an installed package its own copy, else beside the source."""
    inside = _HERE / "_recipes"
    return inside if inside.is_dir() else _HERE.parent / "recipes"


def commands() -> dict[str, str]:
    """The commands by name, each with the first line of its recipe's docstring. None is loaded."""
    files = sorted(recipes_folder().glob("*.py"))
    texts = {file.stem: ast.get_docstring(ast.parse(file.read_text("utf-8"))) for file in files}
    return {name: (text or "").partition("\n")[0] for name, text in texts.items()}


def main() -> None:
    """Runs the recipe that the first word of the command line names; without a word lists them."""
    name, *arguments = sys.argv[1:] or ["--help"]
    known = commands()
    if name == "--version":
        print(f"equildm {sys.modules[__name__.partition('.')[0]].__version__}")
    elif name in ("-h", "--help", "help"):
        width = max(map(len, known))
        print(USAGE + "\n\n" + "\n".join(f"  {n:{width}}  {text}" for n, text in known.items()))
    elif name.replace("-", "_") in known:
        _run(name.replace("-", "_"), arguments)
    else:
        near = difflib.get_close_matches(name, known, 2)
        hint = f"Did you mean {' or '.join(near)}?" if near else "equildm alone lists the commands."
        sys.exit(f"equildm: There is no command {name!r}. {hint}")


def load_recipe(name: str) -> ModuleType:
    """The module of a recipe, which its neighbours find by its name as well."""
    path = recipes_folder() / f"{name}.py"
    sys.path.insert(0, str(path.parent))  # a study runs its neighbours
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _run(name: str, arguments: list[str]) -> None:
    sys.argv = [str(recipes_folder() / f"{name}.py"), *arguments]
    try:
        recipe = load_recipe(name)
    except KeyboardInterrupt:
        print(f"equildm {name}: Stopped by ctrl-C.", file=sys.stderr)
        raise SystemExit(130) from None
    parse = getattr(recipe, "parse", None)
    run_command(recipe.main, recipe.Config, recipe.__doc__, parse=parse, program=f"equildm {name}")
