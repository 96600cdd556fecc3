"""Hooks of the documentation site: pages that are made when it is built, and links to them.

Files outside of `docs/` that are pages too keep their place in the repository, and one page for
each package lists its public names. A link works in both places: it is written for the repository
and translated here.
"""

import ast
import os
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "equildm"
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "house_rules.md",
    "equildm/latents/emoji_vae/README.md": "emoji_vae.md",
    "equildm/pretrained/emoji/README.md": "emoji_model.md",
}
"""Pages that lie outside of `docs/`, and where they lie on the site."""

MODULES = {"types": "_types", "images": "images"}
"""Pages of names whose module is a file and no package."""

_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def first_sentence(docstring: str | None) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = " ".join((docstring or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s(?=[A-Z`])", paragraph)[0]


def docstrings(tree: ast.Module) -> dict[str, str]:
    """The first sentences of a module's classes, functions and documented constants."""
    sentences = {}
    for node, after in zip(tree.body, [*tree.body[1:], None]):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            sentences[node.name] = first_sentence(ast.get_docstring(node))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                sentences[ast.unparse(target)] = first_sentence(str(after.value.value))
    return sentences


def public_names(package: str) -> dict[str, list[str]]:
    """The public names of a package by the module that defines them, such as `noise.schedules`."""
    imports = [
        (node.module, node.names)
        for node in ast.parse((PACKAGE / "__init__.pyi").read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module
        if node.module == MODULES.get(package) or node.module.startswith(f"{package}.")
    ]
    if package not in MODULES:
        imports += [
            (f"{package}.{node.module or node.names[0].name}", node.names)
            for node in ast.parse((PACKAGE / package / "__init__.py").read_text()).body
            if isinstance(node, ast.ImportFrom)
        ]
    names: dict[str, list[str]] = {}
    for module, aliases in imports:
        names.setdefault(module, []).extend(alias.name for alias in aliases)
    return names


def packages() -> list[str]:
    """Every package with public names, and the two modules."""
    return [*MODULES, *sorted(file.parent.name for file in PACKAGE.glob("*/__init__.py"))]


def parsed(module: str) -> ast.Module:
    """The file of a module of this package, such as `noise.schedules`."""
    file = PACKAGE.joinpath(*module.split("."))
    return ast.parse(
        (file / "__init__.py" if file.is_dir() else file.with_suffix(".py")).read_text()
    )


def api_page(package: str) -> str:
    """The Markdown of one package's page: a table of its names, and a section for each module."""
    table, sections = ["| name | what it is |", "|---|---|"], []
    for module, names in sorted(public_names(package).items()):
        tree = parsed(module)
        known = docstrings(tree)
        if module.count("."):
            sections += [f"## {module}", first_sentence(ast.get_docstring(tree))]
        if names == [module.rpartition(".")[2]] and names[0] not in known:  # a module of functions
            path = f"equildm.{module}"
            table.append(f"| [`{names[0]}`](#{path}) | {first_sentence(ast.get_docstring(tree))} |")
            sections.append(f"::: {path}\n    options: {{members: true}}")
            continue
        for name in sorted(names, key=str.lower):
            path = f"equildm.{module}.{name}"
            about = known.get(name, "").replace("|", "\\|")
            table.append(f"| [`{name}`](#{path}) | {about} |")
            shown = "" if name in known else "\n    options: {show_if_no_docstring: true}"
            sections.append(f"::: {path}{shown}")
    title = MODULES.get(package, package)
    lead = ast.get_docstring(parsed(title)) or ""
    return "\n\n".join([f"# equildm.{title}", lead, "\n".join(table), *sections])


def on_config(config):
    """Shows the list of versions where `mike` builds one. Elsewhere there is no such list."""
    if "MIKE_DOCS_VERSION" in os.environ:
        config.extra["version"] = {"provider": "mike", "default": "latest"}
    return config


def on_files(files: Files, config) -> Files:
    """Adds the pages that are made here."""
    made = {page: (ROOT / source).read_text() for source, page in PAGES.items()}
    made |= {f"api/{package}.md": api_page(package) for package in packages()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def translated(target: str, page: str) -> str:
    """A link of a page, by its place in the repository, as the site has it."""
    source = _SOURCES.get(page, f"docs/{page}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    path = PAGES.get(path, path.removeprefix("docs/"))
    return posixpath.relpath(path, posixpath.dirname(page) or ".")


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    """Translates the links of a page that are relative, but for those in blocks of code."""

    def replace(link: re.Match[str]) -> str:
        before, target, after = link.groups()
        if "://" in target or target.startswith("mailto:"):
            return link.group()
        return f"{before}{translated(target, page.file.src_uri)}{after}"

    if page.file.src_uri.startswith("api/"):
        return markdown
    parts, end = [], 0
    for block in _CODE.finditer(markdown):
        parts += [_LINK.sub(replace, markdown[end : block.start()]), block.group()]
        end = block.end()
    return "".join([*parts, _LINK.sub(replace, markdown[end:])])
