"""One word for one idea: no old name is left, and variables say what they hold."""

import ast
import re
from pathlib import Path

import pytest
from helpers import ROOT

TOPS = ("equildm", "recipes", "benchmarks", "tests")
CODE = [path for top in TOPS for path in (ROOT / top).rglob("*.py")]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
FORMAT_1 = ("equildm/runtime/format_1.py", "tests/runtime/test_format_1.py")
EXEMPT = {Path(__file__), *(ROOT / file for file in FORMAT_1)}
"""They must know the old names."""

OLD_NAMES = (
    *("Judge", "Studio", "StepAlong", "AbstractTime", "PictureCondition", "Captioned"),
    *("HeldPictures", "RestorationBatch", "OnPart", "OnAdapters", "AdaptedStudent"),
    *("over_examples", "failing_at_once", "picture_grid", "recoloured", "concatenated"),
    *("SharedNoise", "AbstractPairs", "StableDiffusion\\(", "load_stable_diffusion"),
    *("save_stable_diffusion", "caption_length", "to_pixels", "inert_pickle", "sniff"),
    *("new_adapters", "with_adapters", "compare_students", "compare_subjects"),
    *("compare_upscalers", "equildm\\.sample\\b", "equildm\\.train\\b", "equildm/sample/"),
    *("equildm/train/", "runtime\\.inside", "runtime\\.target", "global_arrays"),
)
OLD_FLAGS = (
    *("cfg", "weights", "rate", "caption-length", "average", "guidance [0-9.]+", "every\\.[a-z]+"),
    *("recolour", "negative", "checkpoint", "lora-train"),
)
"""Options that have another name now; whole words after two dashes."""

VAGUE = {"found", "made", "said", "told", "kept", "given", "whole"}
"""Participles that say nothing of what a variable holds."""


def lines_with(pattern: str, files: list[Path]) -> list[str]:
    regex = re.compile(pattern)
    return [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files
        if file not in EXEMPT
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if regex.search(line)
    ]


def test_no_old_name_is_left():
    pattern = "|".join(name if "\\" in name else rf"\b{name}\b" for name in OLD_NAMES)
    assert lines_with(pattern, [*CODE, *PAGES]) == []


def test_no_old_option_is_left():
    pattern = "|".join(rf"--{name}(?![\w-])" for name in OLD_FLAGS)
    assert lines_with(pattern, [*(ROOT / "recipes").glob("*.py"), *PAGES]) == []


def vague_names(tree: ast.AST) -> list[str]:
    """Variables, parameters, fields and functions of one of the vague names."""
    names: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store(), lineno=line):
                names.append((line, name))
            case ast.arg(arg=name, lineno=line):
                names.append((line, name))
            case ast.FunctionDef(name=name, lineno=line) | ast.ClassDef(name=name, lineno=line):
                names.append((line, name))
    return [f"{line}: {name}" for line, name in names if name in VAGUE]


@pytest.mark.parametrize("top", ["equildm", "recipes", "benchmarks"])
def test_variables_are_nouns(top: str):
    files = sorted((ROOT / top).rglob("*.py"))
    vague = {str(f.relative_to(ROOT)): vague_names(ast.parse(f.read_text())) for f in files}
    assert {file: names for file, names in vague.items() if names} == {}


def test_images_are_images():
    """The word of the field, in code and on pages."""
    files = [*(ROOT / "equildm").rglob("*.py"), *(ROOT / "recipes").glob("*.py"), *PAGES]
    found = lines_with(r"(?i)\bpictures?\b", files)
    assert [line for line in found if "</picture>" not in line] == []  # but for the HTML tag
