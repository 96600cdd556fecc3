"""The site: every public name has an entry, pages' code runs, and the strict build passes."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys

import pytest
import yaml
from helpers import page_code, ROOT

import equildm

DOCS = ROOT / "docs"
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
HAS_MKDOCS = all(map(importlib.util.find_spec, ("mkdocs", "material", "mkdocstrings")))


def run(page: str) -> dict:
    names: dict = {}
    exec(compile(page_code(page), page, "exec"), names)
    return names


@pytest.fixture
def beside_a_run(tmp_path, monkeypatch):
    """The current folder: it has a small run where recipes make one, and takes what pages save."""
    old_run = ROOT / "tests" / "pretrained" / "format_1" / "pretrained"
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "emoji").symlink_to(old_run)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_concept_runs(beside_a_run):
    run("docs/concepts.md")  # its assertions are the test
    assert (beside_a_run / "heart.png").is_file()


def test_the_walkthroughs_of_contributing_run():
    run("docs/contributing.md")  # its assertions are the test


@pytest.mark.slow
def test_the_translated_scripts_run(beside_a_run):
    run("docs/coming_from.md")
    assert (beside_a_run / "heart.png").is_file()


def names_in_tables(page: str) -> set[str]:
    """What is called in the right column of a page's tables."""
    rows = re.findall(r"^\|[^|]*\|([^|]*)\|", (ROOT / page).read_text(), re.MULTILINE)
    code = " ".join(span for row in rows for span in re.findall(r"`([^`]*)`", row))
    return set(re.findall(r"\b([A-Z]\w+|[a-z]+_\w+)(?=\()", code))


def test_the_dictionary_names_what_exists():
    names = names_in_tables("docs/coming_from.md")
    assert len(names) > 8
    assert {name for name in names if not hasattr(equildm, name)} == set()


def test_the_options_are_those_of_the_recipes(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    page = importlib.import_module("options_page")
    assert page.PAGE.read_text() == page.page(), "run python docs/options_page.py"


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert {page for page in pages if page not in text} == set()


def test_the_citation_names_this_version():
    assert CITATION["cff-version"] == "1.2.0" and CITATION["authors"] and CITATION["title"]
    assert CITATION["version"] == equildm.__version__
    assert f"## [{equildm.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"{{{equildm.__version__}}}" in (DOCS / "citation.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_MKDOCS, reason="needs the extra docs")
def test_the_site_builds_without_a_warning(tmp_path):
    """Strict: a link, an anchor or a page that is missing ends the build."""
    from mkdocstrings import Inventory

    env = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    with (tmp_path / "objects.inv").open("rb") as file:
        entries = set(Inventory.parse_sphinx(file))
    last = {entry.rpartition(".")[2] for entry in entries if entry.startswith("equildm.")}
    packages = {page.stem for page in (tmp_path / "api").glob("*.html")}
    assert {name for name in equildm.__all__ if name not in last | packages} == set()
