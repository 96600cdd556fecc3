"""The house rules that a machine can check: order of imports, size of files, no unpickling."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import ROOT, run_python

PACKAGE = ROOT / "equildm"
FILES = sorted(PACKAGE.rglob("*.py"))

# A package imports only from those above it.
ORDER = (
    "_rooms",
    "_types",
    "runtime",
    "images",
    "nn",
    "features",
    "noise",
    "denoise",
    "latents",
    "text",
    "sampling",
    "interop",
    "data",
    "training",
    "distill",
    "metrics",
    "pipeline",
    "pretrained",
    "study",
    "plan",
)
RECIPES = sorted((ROOT / "recipes").glob("*.py"))
CALLS_OTHERS = {"scaling_study": {"pretrain", "distill"}}
"""The one recipe that runs others, and which."""
UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "torch"}
LOADS = {"load", "loads", "open"}


def parts(file: Path) -> tuple[str, ...]:
    """`equildm/nn/conv.py` is `("equildm", "nn", "conv")`; a package's own file has its name."""
    names = file.relative_to(ROOT).with_suffix("").parts
    return names[:-1] if names[-1] == "__init__" else names


def imports(file: Path, tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Every module that the file imports, absolutely, with the names taken from it at the end."""
    package = parts(file) if file.name == "__init__.py" else parts(file)[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = node.module.split(".") if node.module else ()
            for alias in node.names:
                yield (*above, *module, alias.name)


def violations(file: Path, tree: ast.AST) -> list[str]:
    """What the file imports against the order."""
    own = parts(file)
    wrong = []
    if len(own) > 1 and own[1] not in ORDER:
        return [f"{own[1]}: a package that the order lacks"]
    for module in imports(file, tree):
        if module[0] in ("recipes", "benchmarks", "tests"):
            wrong.append(f"{'.'.join(module)}: the library imports no script")
        if module[0] != "equildm" or len(own) == 1:  # equildm/__init__.py names them all
            continue
        if len(module) == 1 or module[1] not in ORDER:
            wrong.append(f"{'.'.join(module)}: import from the package that defines it")
        elif ORDER.index(module[1]) > ORDER.index(own[1]):
            wrong.append(f"{own[1]} imports {module[1]}, which is below it")
    return wrong


def dangers(file: Path, tree: ast.AST) -> list[str]:
    """Ways to run code from a data file, and the import that breaks run-time annotations."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="__future__", names=names):
                found += [name.name for name in names if name.name == "annotations"]
            case ast.ImportFrom(module=module, names=names) if module in UNPICKLERS:
                found += [f"{module}.{name.name}" for name in names if name.name in LOADS]
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in UNPICKLERS:
                found += [f"{module}.{name}"] if name in LOADS else []
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=False)):
                pass
            case ast.keyword(arg="allow_pickle"):
                found.append("allow_pickle")
    return found


def unexplained(file: Path, tree: ast.Module) -> list[str]:
    """Modules, public functions and public classes without a docstring."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [n for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_")]
    names = [node.name for node in public if not ast.get_docstring(node)]
    return names if ast.get_docstring(tree) else [*names, "module"]


def too_long(file: Path, tree: ast.AST) -> list[str]:
    """More than 300 lines are more than one idea."""
    lines = len(file.read_text().splitlines())
    return [f"{lines} lines"] if lines > 300 else []


def cycles(files: list[Path]) -> list[str]:
    """Modules of the library that import each other in a circle, when they are loaded."""
    known = {".".join(parts(file)): file for file in files}
    graph: dict[str, set[str]] = {}
    for name, file in known.items():
        tree = ast.parse(file.read_text())
        top = ast.Module([node for node in tree.body if not is_typing_only(node)], [])
        graph[name] = set()
        for module in imports(file, top):
            target = ".".join(module)
            target = target if target in known else target.rpartition(".")[0]
            if target in known and target != name and not name.startswith(target + "."):
                graph[name].add(target)
    done: set[str] = set()
    circles: list[str] = []

    def walk(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circles.append(" -> ".join((*path[path.index(name) :], name)))
        elif name not in done:
            for other in sorted(graph[name]):
                walk(other, (*path, name))
            done.add(name)

    for name in graph:
        walk(name, ())
    return circles


def is_typing_only(node: ast.stmt) -> bool:
    """`if TYPE_CHECKING:`, and what is inside of functions, runs in no import."""
    is_if = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    return is_if or isinstance(node, ast.FunctionDef | ast.ClassDef)


def test_no_module_is_in_a_circle():
    assert cycles(FILES) == []


def any_lines(tree: ast.Module) -> set[int]:
    """The lines of public signatures and public fields that say `Any`."""
    lines: set[int] = set()

    def look(annotation: ast.AST | None) -> None:
        for node in ast.walk(annotation) if annotation is not None else ():
            if isinstance(node, ast.Name) and node.id == "Any":
                lines.add(node.lineno)

    def visit(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef) and not is_private(node.name):
                arguments = node.args
                named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                for argument in (*named, arguments.vararg, arguments.kwarg):
                    look(argument.annotation if argument is not None else None)
                look(node.returns)
            elif isinstance(node, ast.ClassDef) and not is_private(node.name):
                visit(node.body)
            elif isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
                look(node.annotation)

    visit(tree.body)
    return lines


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_signatures_say_what_they_take():
    counts = {file: len(any_lines(ast.parse(file.read_text()))) for file in FILES}
    assert sum(counts.values()) <= 110, sorted(counts.items(), key=lambda item: -item[1])[:10]


def test_recipes_are_short_scripts():
    """Each reads top to bottom, stands alone, and says what its options mean."""
    assert 1 <= len(RECIPES) <= 18
    lengths = {file.stem: len(file.read_text().splitlines()) for file in RECIPES}
    assert {name: length for name, length in lengths.items() if length > 160} == {}
    assert sum(lengths.values()) <= 2000


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe(file: Path):
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree)
    config = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Config")
    assert ast.get_docstring(config)
    assert all(isinstance(n, ast.AnnAssign | ast.FunctionDef | ast.Expr) for n in config.body)
    assert any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in tree.body)
    siblings = {other.stem for other in RECIPES} - CALLS_OTHERS.get(file.stem, set())
    for module in imports(file, tree):
        assert module[0] not in siblings and module[0] != "recipes", module
        if module[0] == "equildm":
            assert not any(is_private(name) for name in module), module


@pytest.mark.parametrize("rule", [violations, dangers, unexplained, too_long])
def test_every_file_keeps(rule: Callable[[Path, ast.Module], list[str]]):
    found = {str(f.relative_to(ROOT)): rule(f, ast.parse(f.read_text())) for f in FILES}
    assert {file: what for file, what in found.items() if what} == {}
    assert len(found) > 50


@pytest.mark.parametrize(
    ("own", "line", "wrong"),
    [
        ("nn/x.py", "from .. import denoise", "nn imports denoise, which is below it"),
        ("nn/x.py", "from ..denoise.unet import UNet", "nn imports denoise, which is below it"),
        ("nn/x.py", "import equildm.text.bert as b", "nn imports text, which is below it"),
        ("nn/__init__.py", "from ..text import Bert", "nn imports text, which is below it"),
        ("nn/x.py", "from equildm import UNet", "equildm.UNet: import from the package"),
        ("nn/x.py", "import equildm", "equildm: import from the package"),
        ("nn/x.py", "def f():\n  from recipes.a import b", "recipes.a.b: the library imports no"),
        ("new/x.py", "import jax", "new: a package that the order lacks"),
        ("text/x.py", "from ..nn import Linear\nfrom .y import z\nimport jax.numpy", None),
        ("__init__.py", "from .text import Bert", None),
    ],
)
def test_the_order_is_checked(own: str, line: str, wrong: str | None):
    found = violations(PACKAGE / own, ast.parse(line))
    assert found == [] if wrong is None else len(found) == 1 and found[0].startswith(wrong)


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("from __future__ import annotations", 1),
        ("import pickle; pickle.load(f)", 1),
        ("from pickle import loads", 1),
        ("np.load(f, allow_pickle=True)", 1),
        ("np.load(f, allow_pickle=flag)", 1),
        ("torch.load(f)", 1),
        ("np.load(f, allow_pickle=False); json.load(f)", 0),
    ],
)
def test_dangers_are_seen(line: str, count: int):
    assert len(dangers(PACKAGE, ast.parse(line))) == count


def test_importing_changes_nothing():
    """No jax setting, no initialised backend: the caller chooses devices after the import."""
    code = """
import importlib, pkgutil
import jax, jax._src.xla_bridge as bridge
before = dict(jax.config.values)
import equildm
names = [m.name for m in pkgutil.walk_packages(equildm.__path__, "equildm.")]
for name in names:
    importlib.import_module(name)
changed = {k: (v, jax.config.values[k]) for k, v in before.items() if jax.config.values[k] != v}
assert not changed, changed
assert not bridge._backends, list(bridge._backends)
assert len(names) >= COUNT, names
"""
    run_python(code.replace("COUNT", str(len(FILES) - 1)), devices=1)
